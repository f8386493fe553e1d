"""A month's report: what it cost, what changed, what was saved, as HTML, PDF, CSV and FOCUS."""

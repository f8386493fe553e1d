"""The page: one HTML file, one style sheet, one script; no framework, nothing from elsewhere."""

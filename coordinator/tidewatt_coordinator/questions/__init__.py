"""The questions that the ledger answers: what a request costs, what changed and why, what was saved."""

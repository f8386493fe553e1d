"""Monthly budgets: what is spent of them, and what will be."""

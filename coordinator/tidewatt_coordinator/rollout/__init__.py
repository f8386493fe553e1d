"""Policy as operators mean it: documents, rollouts in waves, and what of it is in force."""

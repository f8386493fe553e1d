"""`tidewatt doctor`: what keeps the coordinator from its work, and what to do. It changes nothing."""

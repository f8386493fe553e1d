"""Sleep, the agent's side: who may, the way there and back, and the qualification that comes first."""

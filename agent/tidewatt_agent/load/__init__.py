"""How the agent learns what its application is asked for."""

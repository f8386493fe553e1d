"""A simulated board in virtual time: what the real one would do, from documented parameters."""

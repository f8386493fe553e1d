"""How a device gets its certificate from the fleet's CA, and the next one in time."""

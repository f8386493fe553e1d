"""How many reports a second one coordinator takes, and the memory of a device."""

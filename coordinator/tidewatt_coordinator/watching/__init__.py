"""`tidewatt fleet`: the devices as they stand, told by the running coordinator."""

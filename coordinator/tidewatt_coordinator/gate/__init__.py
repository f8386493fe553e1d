"""`tidewatt validate`: whether a window of the past kept its targets; a gate for releases."""

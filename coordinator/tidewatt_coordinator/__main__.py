"""`python -m tidewatt_coordinator` is `tidewatt`."""

from tidewatt_coordinator.cli import main

main()

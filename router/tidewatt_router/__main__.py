"""`python -m tidewatt_router` is `tidewatt-router`."""

from tidewatt_router.cli import main

main()

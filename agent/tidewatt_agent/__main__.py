"""`python -m tidewatt_agent` is `tidewatt-agent`."""

from tidewatt_agent.cli import main

main()

"""Which forecast budgets are judged by."""

from tidewatt_coordinator.budgets.standing import Forecast

#: From days of cost to the month's end; None: only what is spent is judged.
FORECAST: Forecast | None = None

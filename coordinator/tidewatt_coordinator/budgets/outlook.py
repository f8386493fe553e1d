"""Which forecast budgets are judged by."""

from tidewatt_coordinator.budgets.standing import Forecast
from tidewatt_coordinator.questions.monthend import month_end

#: From days of cost to the month's end.
FORECAST: Forecast = month_end

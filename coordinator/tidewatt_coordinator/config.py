"""The coordinator's one TOML file: few keys, each with unit, default and reason."""

import socket
from typing import Annotated

import msgspec

from tidewatt_coordinator.alerts.settings import Alerts, wrong_alerts
from tidewatt_coordinator.anomalies.settings import Anomalies
from tidewatt_coordinator.budgets.settings import Budget, wrong_budgets
from tidewatt_coordinator.costs.settings import Costs
            *wrong_dispatch(config.dispatch),

"""The recent days' costs, as budgets and anomalies look at them."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Engine

from tidewatt_coordinator.costs.daily import daily_costs
from tidewatt_coordinator.costs.days import DAY_MS, Window
from tidewatt_coordinator.costs.series import EDGE, DayCost


class Recent(msgspec.Struct, frozen=True):
    """The costs of some days up to today, and the tags they were read with."""

    costs: list[DayCost]
    tags: list[str]


def recent_costs(database: Engine, bill: str, tags: Sequence[str], now_ms: int, days: int) -> Recent:
    """What counts: the edge's charges and the bill's, of so many days before today and of today."""
    today = now_ms // DAY_MS
    window = Window((today - days) * DAY_MS, (today + 1) * DAY_MS)
    names = list(dict.fromkeys(["site", *tags]))
    return Recent(list(daily_costs(database, window, [EDGE, bill], names)), names)

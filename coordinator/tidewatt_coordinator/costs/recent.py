"""The recent days' costs, as budgets and anomalies look at them."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Engine

from tidewatt_coordinator.costs.daily import daily_costs
from tidewatt_coordinator.costs.days import DAY_MS, Window
from tidewatt_coordinator.costs.series import EDGE, DayCost

#: Days that are read at every look: late bills and late reports change them.
FRESH_DAYS = 10
#: The older ones are read again each day, and after so many real seconds.
AGAIN_S = 6 * 3600.0


class Recent(msgspec.Struct, frozen=True):
    """The costs of some days up to today, and the tags they were read with."""

    costs: list[DayCost]
    tags: list[str]


class RecentCosts:
    """Reads what counts: the edge's charges and the bill's.

    Who looks often has the old days remembered, and read again only now and then: they
    hardly change. One thread at a time.
    """

    def __init__(self, database: Engine, bill: str, tags: Sequence[str], days: int) -> None:
        """`days`: so many before today."""
        self._database, self._days = database, days
        self._sources = [EDGE, bill]
        self._tags = list(dict.fromkeys(["site", *tags]))
        self._old: list[DayCost] = []
        self._read_day: int | None = None
        self._read_s = 0.0

    def read(self, now_ms: int, at_s: float) -> Recent:
        """The costs up to today; `at_s` is monotonic real time."""
        today = now_ms // DAY_MS
        if today != self._read_day or at_s - self._read_s >= AGAIN_S:
            self._read_day, self._read_s = today, at_s
            self._old = self._of(today - self._days, today - FRESH_DAYS)
        return Recent([*self._old, *self._of(today - FRESH_DAYS, today + 1)], self._tags)

    def _of(self, first: int, end: int) -> list[DayCost]:
        window = Window(first * DAY_MS, end * DAY_MS)
        return list(daily_costs(self._database, window, self._sources, self._tags))

"""Days of cost as series, and which of their days are known: missing is not zero. Pure.

A day is settled when the providers have most likely said all of it. A source covers a day if it has
any charge of it; on such a day a service without a charge cost nothing, and on any other it is unknown.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from tidewatt_coordinator.costs.days import DAY_MS, HOUR_MS

EPOCH = date(1970, 1, 1)
EDGE = "edge"

#: Known days, and what each cost.
Days = Mapping[date, Decimal]


class DayCost(msgspec.Struct, frozen=True):
    """What the charges of one day, source, kind, service and set of tags sum to."""

    day: int
    """Days since 1970."""
    source: str
    currency: str
    kind: str
    service: str
    tags: tuple[str, ...]
    """Values of the tags that were asked for, empty where a charge has none."""
    billed: Decimal
    effective: Decimal
    spread: bool
    """A share of charges that are for more than a day, such as a month's fee."""


class Settling(msgspec.Struct, frozen=True):
    """Hours after a day's end until it is settled."""

    cloud_hours: int
    edge_hours: int

    def last(self, source: str, now_ms: int) -> int:
        """The last settled day of a source, as days since 1970."""
        hours = self.edge_hours if source == EDGE else self.cloud_hours
        return (now_ms - hours * HOUR_MS) // DAY_MS - 1


class Coverage:
    """The days that each source has said something about."""

    def __init__(self, costs: Iterable[DayCost]) -> None:
        daily: dict[str, set[int]] = {}
        spread: dict[str, set[int]] = {}
        for cost in costs:
            (spread if cost.spread else daily).setdefault(cost.source, set()).add(cost.day)
        # Charges for a month say nothing of whether its days are all there, unless nothing else does.
        self._days = spread | daily

    @property
    def sources(self) -> frozenset[str]:
        """All that have said anything."""
        return frozenset(self._days)

    def known(self, sources: Iterable[str], now_ms: int, settling: Settling) -> set[int]:
        """The settled days that all these sources cover."""
        found = [
            {day for day in self._days.get(source, ()) if day <= settling.last(source, now_ms)}
            for source in sources
        ]
        return set.intersection(*found) if found else set()


def series(
    costs: Iterable[DayCost],
    key: Callable[[DayCost], str],
    amount: Callable[[DayCost], Decimal],
    coverage: Coverage,
    now_ms: int,
    settling: Settling,
) -> dict[tuple[str, str], dict[date, Decimal]]:
    """What each group cost on every known day, by key and currency; the empty key is left out.

    Days of the group's sources without a charge of the group are zero, from the sources' first day on.
    """
    groups: dict[tuple[str, str], list[DayCost]] = {}
    for cost in costs:
        if name := key(cost):
            groups.setdefault((name, cost.currency), []).append(cost)
    found = {}
    for about, members in groups.items():
        days = dict.fromkeys(coverage.known({one.source for one in members}, now_ms, settling), Decimal(0))
        for one in members:
            if one.day in days:
                days[one.day] += amount(one)
        found[about] = {to_date(day): days[day] for day in sorted(days)}
    return found


def to_date(day: int) -> date:
    """A number of days since 1970 as a date."""
    return EPOCH + timedelta(days=day)


def to_number(day: date) -> int:
    """A date as a number of days since 1970."""
    return (day - EPOCH).days

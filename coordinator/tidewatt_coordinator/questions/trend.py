"""Whether costs rise: the last days against as many before. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from tidewatt_coordinator.costs.charge import total
from tidewatt_coordinator.questions.rows import Cost, Key

Direction = Literal["up", "down", "flat", "new", "unknown"]

#: Changes of no more than this are none.
FLAT = Decimal("0.10")
#: Days on each side.
DAYS = 7
#: A source that has said nothing for longer is not waited for.
LONGEST_WAIT_DAYS = 5


@dataclass(frozen=True, kw_only=True)
class Trend:
    """What a group cost by `effective`, in the last days and in those before."""

    key: Key
    currency: str
    before: Decimal
    after: Decimal
    change: Decimal | None
    """Share of `before`; None where nothing was paid before, or money came back."""
    direction: Direction


def direction_of(before: Decimal, after: Decimal) -> tuple[Decimal | None, Direction]:
    """The change as a share, and what it is called."""
    if before == after:
        return (Decimal(0) if before else None), "flat"
    if not before:
        return None, "new"
    if before < 0 or after < 0:
        return None, "unknown"  # a share of a credit says nothing
    change = (after - before) / before
    if abs(change) <= FLAT:
        return change, "flat"
    return change, "up" if change > 0 else "down"


def trends(before: Iterable[Cost], after: Iterable[Cost]) -> list[Trend]:
    """By key and currency, the largest move first; the groups' sums are the total's."""
    sums: dict[tuple[str, Key], list[Decimal]] = {}
    for place, costs in enumerate((before, after)):
        for cost in costs:
            sums.setdefault((cost.currency, cost.key), [Decimal(0), Decimal(0)])[place] += cost.effective
    found = [_trend(key, currency, *values) for (currency, key), values in sums.items()]
    return sorted(found, key=lambda one: (one.currency, -abs(one.after - one.before), one.key))


def totals(found: Iterable[Trend]) -> list[Trend]:
    """The whole's trend, by currency."""
    by_currency: dict[str, list[Trend]] = {}
    for one in found:
        by_currency.setdefault(one.currency, []).append(one)
    return [
        _trend(("total",), currency, total(one.before for one in some), total(one.after for one in some))
        for currency, some in sorted(by_currency.items())
    ]


def settled(today: date, ends: Mapping[str, date]) -> date:
    """The day before which every source that still tells has told all; `today` at the latest. Where none
    tells any more, the day that the last one told of: what nobody has told is not free.

    `ends`: the last day that each source has told of, maybe not the whole of it. Bills are a day
    or two late, and days that are not there yet are no days without cost.
    """
    oldest = today - timedelta(days=LONGEST_WAIT_DAYS)
    telling = [end for end in ends.values() if end >= oldest] or [max(ends.values(), default=today)]
    return min([today, *telling])


def _trend(key: Key, currency: str, before: Decimal, after: Decimal) -> Trend:
    change, direction = direction_of(before, after)
    return Trend(key=key, currency=currency, before=before, after=after, change=change, direction=direction)

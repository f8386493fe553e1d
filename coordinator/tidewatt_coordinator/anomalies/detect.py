"""Whether a day costs too much, by the days before it. Pure.

Ordinary is the median of the same weekday in recent weeks, and its spread the median absolute deviation
(MAD): a few bad days move neither. Two ways to be too dear, of which one is enough:

- **level**: above what is ordinary for such a day, by more than its spread;
- **spike**: above yesterday by more than is ordinary from that weekday to this one. It finds a sudden rise
  where the level has wandered over the weeks, and must be above the ordinary level, too: a day after an
  outage is none.

An amount that comes on some days only is compared with those days (beat.py).

Both must be worth the floor and the least share. Multiply all costs and the floor by the same number:
the verdicts stay. A series that is constant or repeats each week has no anomaly, ever.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from tidewatt_coordinator.anomalies.beat import usual
from tidewatt_coordinator.costs.series import Days

#: Of a normal distribution the standard deviation is so many MADs.
SIGMA = Decimal("1.4826")
#: Same weekdays that are enough for a median of their own.
ENOUGH_WEEKS = 4
#: With fewer, the latest days are taken, of which there must be so many.
RECENT_DAYS, ENOUGH_DAYS = 14, 7
WEEK = timedelta(days=7)
NOTHING = Decimal(0)

Kind = Literal["level", "spike"]


class Terms(msgspec.Struct, frozen=True):
    """What counts as too much."""

    floor: Decimal = Decimal(10)
    percent: Decimal = Decimal(20)
    deviations: Decimal = Decimal(4)
    weeks: int = 8


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One day, judged."""

    day: date
    cost: Decimal
    expected: Decimal
    by: str
    """What is expected and why, such as "the median of 8 Wednesdays"."""
    yesterday: Decimal | None
    """None where it isn't known."""
    kinds: tuple[Kind, ...]
    """In which ways it is too dear; empty: it isn't."""

    @property
    def impact(self) -> Decimal:
        """What it cost beyond what was expected."""
        return self.cost - self.expected


def judge(days: Days, day: date, terms: Terms) -> Verdict | None:
    """The verdict on one day; None if it or too much before it isn't known."""
    if day not in days:
        return None
    cost = days[day]
    before = _same_weekday(days, day, terms.weeks)
    yesterday = days.get(day - timedelta(days=1))
    kinds: tuple[Kind, ...]
    if len(before) < ENOUGH_WEEKS:
        expected = _by_recent(days, day, before)
        if expected is None:
            return None
        level, spread = expected
        kinds = ("level",) if _is_much(cost - level, level, spread, terms) else ()
        by = f"the latest {RECENT_DAYS} days"
        found = Verdict(day=day, cost=cost, expected=level, by=by, yesterday=yesterday, kinds=kinds)
        return _when_it_comes(found, days, terms)
    level = median(before)
    spread = max(mad(before), _pooled(days, day, terms.weeks)) * _wider(len(before))
    kinds = ("level",) if _is_much(cost - level, level, spread, terms) else ()
    if _is_spike(days, day, level, terms):
        kinds = (*kinds, "spike")
    by = f"the median of {len(before)} {day:%A}s"
    found = Verdict(day=day, cost=cost, expected=level, by=by, yesterday=yesterday, kinds=kinds)
    return _when_it_comes(found, days, terms)


def _when_it_comes(found: Verdict, days: Days, terms: Terms) -> Verdict:
    """The verdict anew, where nothing is expected only because the amount comes on some days alone."""
    if not found.kinds or found.expected > 0 or not (known := usual(days, found.day)):
        return found
    values, which = known
    level, spread = median(values), mad(values) * _wider(len(values))
    kinds = found.kinds if _is_much(found.cost - level, level, spread, terms) else ()
    return msgspec.structs.replace(found, expected=level, by=f"the median of {which}", kinds=kinds)


def median(values: Sequence[Decimal]) -> Decimal:
    """The middle one, or the mean of the two in the middle."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def mad(values: Sequence[Decimal]) -> Decimal:
    """The median of how far they are from their median."""
    middle = median(values)
    return median([abs(value - middle) for value in values])


def _same_weekday(days: Days, day: date, weeks: int) -> list[Decimal]:
    earlier = (day - WEEK * number for number in range(1, weeks + 1))
    return [days[one] for one in earlier if one in days]


def _by_recent(days: Days, day: date, before: Sequence[Decimal]) -> tuple[Decimal, Decimal] | None:
    """Level and spread by the latest days; as dear as the same weekday was is never too dear."""
    earlier = (day - timedelta(days=number) for number in range(1, RECENT_DAYS + 1))
    recent = [days[one] for one in earlier if one in days]
    if len(recent) < ENOUGH_DAYS or not before:
        return None
    return max(median(recent), *before), mad(recent) * _wider(len(recent))


def _wider(samples: int) -> Decimal:
    """Few days tell less of what is ordinary: the spread counts for so many times itself."""
    return 1 + Decimal(2) / samples


def _pooled(days: Days, day: date, weeks: int) -> Decimal:
    """The median distance of all recent days from the median of their weekday: eight Mondays alone that
    happen to be alike would make the ninth look far away.
    """
    distances: list[Decimal] = []
    for offset in range(1, 8):
        values = _same_weekday(days, day - timedelta(days=offset) + WEEK, weeks)
        if len(values) >= ENOUGH_WEEKS:
            middle = median(values)
            distances += [abs(value - middle) for value in values]
    return median(distances) if distances else NOTHING


def _is_spike(days: Days, day: date, level: Decimal, terms: Terms) -> bool:
    changes = _changes(days)
    if day not in changes:
        return False
    usual = _same_weekday(changes, day, terms.weeks)
    if len(usual) < ENOUGH_WEEKS:
        return False
    expected = median(usual)
    spread = max(mad(usual), _pooled(changes, day, terms.weeks)) * _wider(len(usual))
    yesterday = days[day] - changes[day]
    return _is_much(changes[day] - expected, yesterday + expected, spread, terms) and _is_much(
        days[day] - level, level, NOTHING, terms
    )


def _changes(days: Days) -> Mapping[date, Decimal]:
    one = timedelta(days=1)
    return {day: cost - days[day - one] for day, cost in days.items() if day - one in days}


def _is_much(excess: Decimal, expected: Decimal, spread: Decimal, terms: Terms) -> bool:
    least = max(terms.floor, max(expected, NOTHING) * terms.percent / 100, terms.deviations * SIGMA * spread)
    return excess > 0 and excess >= least

"""What a change really saved, against what would have been paid without it. Pure.

Nobody sees the world without the change, so it is worked out: what a request (or a day) cost
on the same weekday before, times the requests that came after, times what happened meanwhile
to those that the change did not touch, by the same reckoning (difference in differences). How
far that reckoning misses is measured where the truth is known: in the time before, each week
foretold from the others. The interval holds 80 of 100.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from math import sqrt
from statistics import fmean

from tidewatt_coordinator.costs.charge import SMALLEST, total
from tidewatt_coordinator.questions.monthend import student80

#: Days of a month, on the mean.
MONTH_DAYS = Decimal("30.4375")
#: With fewer days on a side nothing is said.
LEAST_DAYS = 3
WEEK = 7
#: Noise that lasts over days widens the interval by no more than the root of this.
MOST_LASTING = 4.0


@dataclass(frozen=True, kw_only=True)
class Day:
    """What a group cost on a day, and the requests that it served; None: not known."""

    day: date
    cost: Decimal
    requests: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The days before and after a change."""

    before: Sequence[Day]
    after: Sequence[Day]


@dataclass(frozen=True, kw_only=True)
class Realised:
    """The saving of the days after a change; negative where it cost more. All in one currency."""

    days: int
    paid: Decimal
    counterfactual: Decimal
    """What those days would have cost without it."""
    saved: Decimal
    low: Decimal
    high: Decimal
    per_month: Decimal
    sentence: str
    """The counterfactual, in words."""


def realised(touched: Sides, others: Sides | None, currency: str) -> Realised | str:
    """The saving; or why it can't be told, in a sentence.

    `others`: those that the change did not touch; None where there are none.
    """
    for side, days in (("before", touched.before), ("after", touched.after)):
        if len(days) < LEAST_DAYS:
            return f"{len(days)} days {side} it are known, and {LEAST_DAYS} are needed"
    per_request = _have_requests(touched)
    if others and not (_comparable(others) and _have_requests(others) >= per_request):
        others = None
    rate = _Rates(touched.before, per_request=per_request)
    expected = [rate.of(day) for day in touched.after]
    unadjusted = total(expected)
    if unadjusted <= 0:
        return "nothing was paid before it, so there is nothing to compare with"
    variance = rate.variance(len(touched.after))
    factor = Decimal(1)
    if others:
        control = _Rates(others.before, per_request=per_request)
        would = total(control.of(day) for day in others.after)
        if would > 0:
            factor = total(day.cost for day in others.after) / would
            variance += control.variance(len(others.after))
    counterfactual = (unadjusted * factor).quantize(SMALLEST)
    paid = total(day.cost for day in touched.after)
    half = counterfactual * Decimal(student80(rate.freedom) * sqrt(variance)).quantize(SMALLEST)
    saved = counterfactual - paid
    return Realised(
        days=len(touched.after),
        paid=paid,
        counterfactual=counterfactual,
        saved=saved,
        low=saved - abs(half),
        high=saved + abs(half),
        per_month=(saved / len(touched.after) * MONTH_DAYS).quantize(SMALLEST),
        sentence=_sentence(
            touched, factor if others else None, counterfactual, currency, per_request=per_request
        ),
    )


class _Rates:
    """What a request, or a day, cost before, by weekday where each was seen twice."""

    def __init__(self, before: Sequence[Day], *, per_request: bool) -> None:
        self._per_request = per_request
        self._count = len(before)
        self._all = _rate(before, per_request=per_request)
        self._weekdays = _by_weekday(before, per_request=per_request)
        errors = list(self._errors(before))
        self.freedom = max(1, len(errors) - 1)
        squares = sum(one * one for one in errors)
        self._variance = squares / self.freedom if errors else 1.0
        self._lasting = _lasting(errors, squares)

    def of(self, day: Day) -> Decimal:
        """What the day would have cost."""
        rate = self._weekdays.get(day.day.weekday(), self._all)
        return rate * (day.requests or 0) if self._per_request else rate

    def variance(self, days: int) -> float:
        """Of the sum over so many days, as a share of it: its own noise, and that of the rates."""
        return self._variance * self._lasting * (1.0 / days + 1.0 / self._count)

    def _errors(self, before: Sequence[Day]) -> Iterable[float]:
        # Each week from the others; of less than two weeks, each day from the others.
        weeks: dict[int, list[Day]] = {}
        whole = len(before) >= 2 * WEEK
        for day in before:
            weeks.setdefault(day.day.toordinal() // (WEEK if whole else 1), []).append(day)
        for week, days in sorted(weeks.items()):
            others = [day for other, some in weeks.items() if other != week for day in some]
            weekdays = _by_weekday(others, per_request=self._per_request)
            rest = _rate(others, per_request=self._per_request)
            for day in days:
                rate = weekdays.get(day.day.weekday(), rest)
                expected = rate * (day.requests or 0) if self._per_request else rate
                if expected > 0:
                    yield float(day.cost / expected) - 1.0


def _rate(days: Sequence[Day], *, per_request: bool) -> Decimal:
    units = sum(day.requests or 0 for day in days) if per_request else len(days)
    return total(day.cost for day in days) / units if units else Decimal(0)


def _by_weekday(days: Sequence[Day], *, per_request: bool) -> Mapping[int, Decimal]:
    by_weekday: dict[int, list[Day]] = {}
    for day in days:
        by_weekday.setdefault(day.day.weekday(), []).append(day)
    seen = {
        weekday: _rate(some, per_request=per_request)
        for weekday, some in by_weekday.items()
        if len(some) > 1 and (not per_request or any(day.requests for day in some))
    }
    return seen if len(seen) == WEEK else {}


def _lasting(errors: Sequence[float], squares: float) -> float:
    if squares <= 0:
        return 1.0
    mean = fmean(errors)
    around = [one - mean for one in errors]
    correlation = sum(one * other for one, other in pairwise(around)) / squares
    correlation = min(0.6, max(0.0, correlation))
    return min(MOST_LASTING, (1.0 + correlation) / (1.0 - correlation))


def _have_requests(sides: Sides) -> bool:
    return all(any(day.requests for day in days) and all(day.requests is not None for day in days)
               for days in (sides.before, sides.after))  # fmt: skip


def _comparable(sides: Sides) -> bool:
    return len(sides.before) >= LEAST_DAYS and len(sides.after) >= LEAST_DAYS


def _sentence(
    touched: Sides, factor: Decimal | None, counterfactual: Decimal, currency: str, *, per_request: bool
) -> str:
    first, last = touched.before[0].day, touched.before[-1].day
    unit = "a request cost" if per_request else "a day cost"
    count = "the requests of" if per_request else ""
    said = (
        f"without it {' '.join(f'{count} the {len(touched.after)} days since'.split())} would have cost "
        f"{counterfactual:,.2f} {currency}: what {unit} on the same weekday from {first} to {last}"
    )
    if factor is None:
        return f"{said}; nobody was left untouched to compare with, so what else happened counts as its doing"
    return f"{said}, {(factor - 1) * 100:+.1f} % as with those it did not touch"

"""What a month will have cost when it is over, with an interval. Pure.

What is known of the month counts as it is, exactly. Each day that isn't is guessed by level,
weekday and trend of the last weeks: the trend robustly (Theil and Sen's slope), and only where it
stands out from chance, for thirty days of a wrong one cost more than none. The interval holds the
truth in 80 of 100 months: it widens with what the residuals show of noise, of noise that lasts
over days, and of how little history there was to learn from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations, pairwise
from math import sqrt
from statistics import fmean, median

from tidewatt_coordinator.costs.charge import SMALLEST, total

#: Days that are learned from: six of each weekday.
HISTORY = 42
WEEK = 7
#: Fewer days show no weekdays, still fewer no noise.
LEAST_FOR_WEEKDAYS, LEAST_FOR_NOISE = 14, 4
#: Of so few days, this share of their mean stands for the noise.
ASSUMED_NOISE = 0.5
#: Standard errors that a slope must have to be believed.
SIGNIFICANT = 2.5
#: The normal distribution's value that 80 % lie within.
Z80 = 1.2815515655
#: Noise that lasts widens the interval by no more than the root of this.
MOST_LASTING = 4.0


@dataclass(frozen=True, kw_only=True)
class MonthEnd:
    """The month's cost when it is over: 80 % lie from `low` to `high`."""

    low: Decimal
    middle: Decimal
    high: Decimal


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """Cost on a day: level + slope x days since the middle of history + weekday's."""

    origin: int
    level: float
    slope: float
    weekdays: Mapping[int, float]
    noise: float
    lasting: float
    """By how much a sum's variance is greater for noise that lasts over days."""
    days: int
    spread: float
    """Sum of the squares of the days' distances from the middle."""
    freedom: int

    def on(self, day: date) -> float:
        return (
            self.level + self.slope * (day.toordinal() - self.origin) + self.weekdays.get(day.weekday(), 0.0)
        )

    def deviation(self, guessed: Sequence[date]) -> float:
        """The standard deviation of the sum over these days."""
        count = len(guessed)
        counts = [sum(day.weekday() == weekday for day in guessed) for weekday in range(WEEK)]
        if self.weekdays:
            level = sum(one * one for one in counts) * WEEK / self.days
        else:
            level = count * count / self.days
        reach = sum(day.toordinal() - self.origin for day in guessed)
        slope = reach * reach / self.spread if self.slope else 0.0
        return self.noise * sqrt(self.lasting * (count + level + slope))


def month_end(days: Sequence[tuple[date, Decimal]], month: date) -> MonthEnd:
    """The forecast for the month that `month` lies in, from what each day cost.

    Days that aren't given are unknown, not free, also those before the last one. Give the weeks
    before the month, too. Raises ValueError if no day at all is given.
    """
    known: dict[date, Decimal] = {}
    for day, amount in days:
        known[day] = known.get(day, Decimal(0)) + amount
    every = _days_of(month)
    certain = total(known[day] for day in every if day in known)
    guessed = [day for day in every if day not in known]
    if not guessed:
        return MonthEnd(low=certain, middle=certain, high=certain)
    history = sorted((day, float(amount)) for day, amount in known.items() if day <= every[-1])
    if not history:
        raise ValueError("the month's end can't be told from no day at all")
    fit = _fit([one for one in history if one[0] > history[-1][0] - timedelta(days=HISTORY)])
    never_negative = min(amount for _, amount in history) >= 0
    values = [fit.on(day) for day in guessed]
    middle = sum(max(0.0, value) if never_negative else value for value in values)
    half = student80(fit.freedom) * fit.deviation(guessed)
    low = max(0.0, middle - half) if never_negative else middle - half
    return MonthEnd(
        low=certain + _money(low), middle=certain + _money(middle), high=certain + _money(middle + half)
    )


def _days_of(month: date) -> list[date]:
    first = month.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return [first + timedelta(days=number) for number in range((following - first).days)]


def _fit(history: Sequence[tuple[date, float]]) -> _Fit:
    count = len(history)
    values = [value for _, value in history]
    origin = round(fmean(day.toordinal() for day, _ in history))
    away = [day.toordinal() - origin for day, _ in history]
    spread = float(sum(one * one for one in away)) or 1.0
    weekdays: dict[int, float] = {}
    slope = 0.0
    if count >= LEAST_FOR_WEEKDAYS:
        weekdays, slope = _shape(history, away, spread)
    plain = [
        value - slope * one - weekdays.get(day.weekday(), 0.0)
        for (day, value), one in zip(history, away, strict=True)
    ]
    # The mean, not the median: spikes are a part of what a month costs.
    level = fmean(plain)
    residuals = [one - level for one in plain]
    freedom = max(1, count - 1 - (WEEK - 1 if weekdays else 0) - bool(slope))
    squares = sum(one * one for one in residuals)
    noise = sqrt(squares / freedom) if count >= LEAST_FOR_NOISE else ASSUMED_NOISE * abs(fmean(values))
    return _Fit(
        origin=origin,
        level=level,
        slope=slope,
        weekdays=weekdays,
        noise=noise,
        lasting=_lasting(residuals, squares),
        days=count,
        spread=spread,
        freedom=freedom,
    )


def _shape(
    history: Sequence[tuple[date, float]], away: Sequence[int], spread: float
) -> tuple[dict[int, float], float]:
    """What each weekday has above the mean, and the slope if it is believed."""
    weekdays = _weekday_means(history, [value for _, value in history])
    flat = [value - weekdays[day.weekday()] for day, value in history]
    slope = median(
        (flat[later] - flat[earlier]) / (away[later] - away[earlier])
        for earlier, later in combinations(range(len(away)), 2)
    )
    middle = fmean(flat)
    rest = [value - middle - slope * one for value, one in zip(flat, away, strict=True)]
    squares = sum(one * one for one in rest)
    error = sqrt(squares / max(1, len(flat) - WEEK - 1) * _lasting(rest, squares) / spread)
    if abs(slope) <= SIGNIFICANT * error:
        return weekdays, 0.0
    # Once more without the trend: the last weekdays of a steep one lie higher.
    return _weekday_means(
        history, [value - slope * one for (_, value), one in zip(history, away, strict=True)]
    ), slope


def _weekday_means(history: Sequence[tuple[date, float]], values: Sequence[float]) -> dict[int, float]:
    by_weekday: dict[int, list[float]] = {}
    for (day, _), value in zip(history, values, strict=True):
        by_weekday.setdefault(day.weekday(), []).append(value)
    mean = fmean(values)
    return {weekday: fmean(some) - mean for weekday, some in by_weekday.items()}


def _lasting(residuals: Sequence[float], squares: float) -> float:
    if squares <= 0:
        return 1.0
    correlation = sum(one * other for one, other in pairwise(residuals)) / squares
    # Kendall: a short series shows less of it than there is.
    correlation = min(0.6, max(0.0, correlation + (1.0 + 3.0 * max(0.0, correlation)) / len(residuals)))
    return min(MOST_LASTING, (1.0 + correlation) / (1.0 - correlation))


def student80(freedom: int) -> float:
    """Student's value for 80 %, by its expansion around the normal one; good to 2 % from two on."""
    if freedom == 1:
        return 3.078
    z = Z80
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _money(amount: float) -> Decimal:
    return Decimal(amount).quantize(SMALLEST)

"""How much to commit to: by what was spent hour by hour, what it may become, and each offer's price. Pure.

A commitment of c an hour, at `share` of the on-demand price, pays for c / share of on-demand use. In an
hour with use u it saves min(u, c / share) - c: what isn't used is lost. So the use that must be there
for it to pay is `share` of what it covers, in the mean over its term.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from statistics import NormalDist, fmean, median

import msgspec

HOURS_PER_MONTH = 730
#: Futures that are looked at: the quantiles of growth in their middle.
FUTURES = 40
#: Commitments are tried in such steps from a millionth on, so that tomorrow's advice is today's.
STEP = 1.08
#: 80 of 100 lie within so many standard deviations of a normal distribution.
EIGHTY = 1.2816
HALF_DAYS = 28


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One way to commit."""

    table: str
    name: str
    share: float
    """Of the on-demand price, with the upfront payment spread over the term."""
    months: int
    upfront: float
    """Share of the whole that is paid at once."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """An offer at its best size. Money is a month's, unless it says otherwise."""

    offer: Offer
    per_hour: float
    low: float
    middle: float
    high: float
    """Saved: 80 of 100 futures lie between low and high."""
    loss: float
    """Chance of paying more than without it."""
    used: float
    """Share of it that is used, in the mean."""

    @property
    def upfront(self) -> float:
        """Paid at once."""
        return self.per_hour * HOURS_PER_MONTH * self.offer.months * self.offer.upfront

    @property
    def whole(self) -> float:
        """Paid over the term, whatever is used."""
        return self.per_hour * HOURS_PER_MONTH * self.offer.months

    @property
    def even_months(self) -> float:
        """After so many months of full use it has paid for its whole term."""
        return self.offer.months * self.offer.share


class Use(msgspec.Struct, frozen=True):
    """On-demand money an hour, every hour of the past, sorted; and the sums up to each."""

    hours: list[float]
    sums: list[float]

    def within(self, limit: float) -> float:
        """The mean of what lies below a limit, hour by hour."""
        below = bisect_right(self.hours, limit)
        whole = (self.sums[below - 1] if below else 0.0) + limit * (len(self.hours) - below)
        return whole / len(self.hours)


def use_of(days: Sequence[float], trough: float, committed: float = 0.0) -> Use:
    """The hours of days' on-demand money; within a day they rise evenly from `trough` of its mean."""
    shape = [trough + (2 - 2 * trough) * (hour + 0.5) / 24 for hour in range(24)]
    hours = sorted(max(0.0, day / 24 * part - committed) for day in days for part in shape)
    return Use(hours, list(accumulate(hours)))


def fall(days: Sequence[float]) -> float:
    """How the last four weeks fell below the four before, as a year's growth, from -1 to 0; rises are 0."""
    if len(days) < 2 * HALF_DAYS:
        return 0.0
    before, after = median(days[-2 * HALF_DAYS : -HALF_DAYS]), median(days[-HALF_DAYS:])
    if before <= 0 or after >= before:
        return 0.0
    return float((after / before) ** (365 / HALF_DAYS) - 1)


def growths(low: float, high: float, seen: float) -> list[float]:
    """Equally likely growths of a year; a fall that is seen moves all of them down by half of it."""
    lowest, highest = max(low + seen / 2, -0.99), max(high + seen / 2, -0.98)
    spread = NormalDist((lowest + highest) / 2, max((highest - lowest) / 2 / EIGHTY, 1e-9))
    return [max(-0.99, spread.inv_cdf((number + 0.5) / FUTURES)) for number in range(FUTURES)]


def choose(use: Use, offer: Offer, future: Sequence[float], most_loss: float) -> Choice | None:
    """The size of an offer with the highest mean saving whose chance of a loss is bearable; None: no size."""
    found: Choice | None = None
    for per_hour in _sizes(use.hours[-1] * offer.share):
        one = _at(use, offer, per_hour, future)
        if one.loss <= most_loss and one.middle > 0 and (found is None or one.middle > found.middle):
            found = one
    return found


def _at(use: Use, offer: Offer, per_hour: float, future: Sequence[float]) -> Choice:
    covers = per_hour / offer.share
    saved, used = [], []
    for growth in future:
        inside = fmean(_covered(use, covers, growth, month) for month in range(0, offer.months, 3))
        saved.append((inside - per_hour) * HOURS_PER_MONTH)
        used.append(inside / covers)
    saved.sort()
    tenth = len(saved) // 10
    return Choice(
        offer=offer,
        per_hour=per_hour,
        low=saved[tenth],
        middle=fmean(saved),
        high=saved[-1 - tenth],
        loss=sum(one < 0 for one in saved) / len(saved),
        used=fmean(used),
    )


def _covered(use: Use, covers: float, growth: float, month: int) -> float:
    # The middle of the quarter that begins with this month.
    level: float = (1 + growth) ** ((month + 1.5) / 12)
    return level * use.within(covers / level)


def _sizes(most: float) -> Iterator[float]:
    """Upwards in equal steps, from a fiftieth of the most on."""
    size = 1e-6
    while size <= most:
        if size * 50 >= most:
            yield size
        size *= STEP

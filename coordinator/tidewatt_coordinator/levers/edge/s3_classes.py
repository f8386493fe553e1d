"""What a bucket's objects would cost in other classes: by access, age, size and billing minimums. Pure.

A transition is allowed from the first day, but a class bills its minimum days whenever an object goes, and
objects below 128 KB don't move. Classes that take minutes to give an object back are never looked at: what a
node needs at its start must come at once.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec

from tidewatt_coordinator.prices.book import PriceBook

GIGABYTE, MONTH_DAYS = 2**30, 30
LEAST_BYTES = 128 * 1024
TABLE = "aws-s3"


class Object(msgspec.Struct, frozen=True):
    """One of a sample, in the standard class."""

    size: int
    age_days: float


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket's standard class."""

    sample: Sequence[Object]
    scale: float
    """How many times the sample the bucket holds."""
    read_bytes: float | None = None
    """Downloaded in a month; None: not measured."""
    reads: float | None = None

    def gigabytes(self, since: float = 0, until: float = float("inf")) -> float:
        """Of objects that are big enough, by their age in days."""
        return self.scale * sum(one.size for one in self._aged(since, until)) / GIGABYTE

    def objects(self, since: float = 0, until: float = float("inf")) -> float:
        """As gigabytes, their number."""
        return self.scale * sum(1 for _ in self._aged(since, until))

    @property
    def hot(self) -> float | None:
        """The largest share of the objects that can have been read within a month; None: not measured."""
        if self.read_bytes is None or self.reads is None:
            return None
        count = self.scale * len(self.sample)
        return min(1.0, self.reads / count) if count else 0.0

    def gone(self, at_days: float, within_days: float) -> float:
        """The share of what is `at_days` old deleted within so many days, if all goes on as it did."""
        earlier = self.gigabytes(at_days, at_days + MONTH_DAYS)
        later = self.gigabytes(at_days + within_days, at_days + within_days + MONTH_DAYS)
        return max(0.0, 1 - later / earlier) if earlier else 0.0

    def _aged(self, since: float, until: float) -> list[Object]:
        return [one for one in self.sample if one.size >= LEAST_BYTES and since <= one.age_days < until]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A class to move to, from an age on, and what that saves in a month."""

    storage_class: str
    days: int
    low: Decimal
    middle: Decimal
    high: Decimal
    told: str


class Prices:
    """The book's S3 prices of one region and day."""

    def __init__(self, book: PriceBook, region: str, on: date) -> None:
        self._book, self._region, self._on = book, region, on
        self.table = book.find(TABLE, "standard", region, on=on).table

    def of(self, item: str) -> float:
        """One unit's."""
        return float(self._book.find(TABLE, item, self._region, on=self._on).price.marginal())

    def minimum_days(self, item: str) -> float:
        """What a class bills at least."""
        limits = self._book.find(TABLE, item, self._region, on=self._on).price.limits
        return float(limits.get("minimum_days", 0))


def choices(holding: Holding, prices: Prices) -> list[Choice]:
    """Every class that saves, the best first."""
    found = [_tiering(holding, prices)]
    if holding.hot is not None:
        found += [
            _colder(holding, prices, "standard-ia", "STANDARD_IA", 30),
            _colder(holding, prices, "glacier-instant", "GLACIER_IR", 90),
        ]
    return sorted((one for one in found if one.middle > 0), key=lambda one: (-one.middle, one.storage_class))


def _colder(holding: Holding, prices: Prices, item: str, name: str, days: int) -> Choice:
    """A class that bills what is read, and a minimum for what is deleted."""
    minimum = prices.minimum_days(item)
    stored = holding.gigabytes(days)
    kept = stored * (prices.of("standard") - prices.of(item))
    # What is read may all be of what has moved: the worst; by its share of the bytes: the likely.
    every = holding.gigabytes()
    worst = (holding.read_bytes or 0) / GIGABYTE * prices.of(f"{item}-retrieval")
    likely = worst * (stored / every if every else 0)
    flow = holding.gigabytes(days, days + MONTH_DAYS)
    early = flow * holding.gone(days, minimum) * prices.of(item) * minimum / MONTH_DAYS / 2
    moving = holding.objects(days, days + MONTH_DAYS) * prices.of(f"{item}-transition")
    told = (
        f"{name} from day {days}: {stored:.1f} GiB cost {kept:.2f} less to keep, {likely:.2f} more to read"
        f" (at worst {worst:.2f}), {moving:.2f} to move, {early:.2f} for what goes before {minimum:.0f} days"
    )
    middle = kept - likely - early - moving
    return _choice(name, days, kept - worst - early - moving, middle, kept - moving, told)


def _tiering(holding: Holding, prices: Prices) -> Choice:
    """The class that finds out by itself: no price for reading, one for watching each object."""
    days, name = 30, "INTELLIGENT_TIERING"
    standard = prices.of("standard")
    watched = holding.objects(days) * prices.of("intelligent-tiering-monitoring")
    moving = holding.objects(days, days + MONTH_DAYS) * prices.of("intelligent-tiering-transition")
    cool = holding.gigabytes(days + 30, days + 90) * (standard - prices.of("intelligent-tiering-infrequent"))
    cold = holding.gigabytes(days + 90) * (standard - prices.of("intelligent-tiering-archive-instant"))
    hot = holding.hot
    shares = (0.0, 0.5, 1.0) if hot is None else (max(0.0, 1 - 2 * hot), 1 - hot, 1.0)
    low, middle, high = ((cool + cold) * share - watched - moving for share in shares)
    known = (
        "access is not measured (no request metrics)"
        if hot is None
        else f"at most {hot:.0%} are read a month"
    )
    told = (
        f"{name} from day {days}: {cool + cold:.2f} less to keep if nothing is read, {watched:.2f} to watch"
        f" {holding.objects(days):.0f} objects, {moving:.2f} to move; {known}"
    )
    return _choice(name, days, low, middle, high, told)


def _choice(name: str, days: int, low: float, middle: float, high: float, told: str) -> Choice:
    exact = [Decimal(str(round(value, 9))) for value in sorted((low, middle, high))]
    return Choice(storage_class=name, days=days, low=exact[0], middle=exact[1], high=exact[2], told=told)

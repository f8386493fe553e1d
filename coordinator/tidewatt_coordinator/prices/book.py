"""Prices, tiers and the book that holds them. Pure.

A table is a set of prices that were read in one place on one day. Newer tables replace older ones
item by item from their date on, and an operator's tables come before the shipped ones, whatever
their date: a negotiated price is not outdated by a list price.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from tidewatt_coordinator.money import EXACT, total

#: Hours in a month as the vendors' calculators have it: a twelfth of 8,760.
HOURS_PER_MONTH = 730

#: Prices are exact, and exact numbers of a billion digits can't be reckoned with.
MOST_DIGITS = 30

Grade = Literal["vendor", "secondary", "assumption"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,79}$")]


class PriceError(ValueError):
    """The book has no such price, or a table is wrong; the sentence says which."""


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price up to a quantity."""

    price: Decimal
    up_to: Decimal | None = None
    """In units, counted from the beginning of the month; the last tier has none."""


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one item costs in one region ("" is everywhere)."""

    item: Name
    region: str = ""
    unit: str
    per: Decimal = Decimal(1)
    """The price is for so many units (a million requests): a power of ten, so that dividing is exact."""
    price: Decimal | None = None
    """One price for all quantities; else `tiers`."""
    tiers: list[Tier] = []
    free: Decimal = Decimal(0)
    """Units a month that cost nothing; an account's, not a region's, so `cost` leaves them out."""
    limits: dict[str, Decimal] = {}
    """What is included or bounded, by unit: {"requests": ..., "GB": ...}."""
    note: str = ""

    @property
    def steps(self) -> list[Tier]:
        """The tiers; a single price is one tier without an end."""
        return self.tiers or [Tier(price=self.price or Decimal(0))]

    def cost(self, quantity: Decimal | int, before: Decimal | int = 0) -> Decimal:
        """What `quantity` units cost in a month in which `before` were used already. Exact."""
        start, end = Decimal(before), EXACT.add(Decimal(before), Decimal(quantity))
        if start < 0 or end < start:
            raise PriceError(f"{self.item}: a quantity of {quantity} after {before} can't be priced")
        parts, below = [], Decimal(0)
        for tier in self.steps:
            above = end if tier.up_to is None else min(end, tier.up_to)
            within = EXACT.subtract(above, max(start, below))
            if within > 0:
                parts.append(self._per_unit(EXACT.multiply(within, tier.price)))
            below = above
        return total(parts)

    def marginal(self, before: Decimal | int = 0) -> Decimal:
        """What one more unit costs after `before` of the month."""
        for tier in self.steps:
            if tier.up_to is None or before < tier.up_to:
                return self._per_unit(tier.price)
        raise PriceError(f"{self.item}: no tier holds {before} {self.unit}")

    def _per_unit(self, amount: Decimal) -> Decimal:
        return EXACT.scaleb(amount, Decimal(-self.per.adjusted()))


class Reach(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A choice that bounds the regions, such as a CloudFront price class; others are billed `elsewhere`."""

    regions: tuple[str, ...]
    elsewhere: str

    def served(self, region: str) -> str:
        """The region that a viewer of `region` is billed in."""
        return region if region in self.regions else self.elsewhere


class PriceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the book."""

    name: Name
    provider: str
    service: str
    """As the provider's bill calls it."""
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    date: date
    """When the prices were read at the source; they hold from this day on."""
    source: str
    grade: Grade = "vendor"
    """vendor: read in the vendor's own data; secondary: known from elsewhere, to be checked against a bill;
    assumption: a plan's number, no price."""
    price: list[Price]
    reach: dict[str, Reach] = {}

    def wrong(self) -> Iterator[str]:
        """What no single field shows to be wrong, one sentence each."""
        seen = set()
        for one in self.price:
            where = f"{one.item} {one.region}".strip()
            if (one.item, one.region) in seen:
                yield f"{where}: stands there twice"
            seen.add((one.item, one.region))
            yield from (f"{where}: {sentence}" for sentence in _wrong(one))
        regions = {one.region for one in self.price}
        for name, reach in self.reach.items():
            for region in (*reach.regions, reach.elsewhere):
                if region not in regions:
                    yield f"reach.{name}: no price has the region {region!r}"


def _reckonable(number: Decimal) -> bool:
    return number.is_finite() and abs(number.adjusted()) <= MOST_DIGITS


def _wrong(price: Price) -> Iterator[str]:
    if (price.price is None) == (not price.tiers):
        yield "needs either price or tiers"
    numbers = [tier.price for tier in price.steps] + [price.free, *price.limits.values()]
    ups = [tier.up_to for tier in price.steps if tier.up_to is not None]
    if not all(_reckonable(number) for number in (*numbers, *ups, price.per)):
        yield f"a number is beyond 10^{MOST_DIGITS}, nearer to 0 than 10^-{MOST_DIGITS}, or is none"
        return
    if not all(number.is_finite() and number >= 0 for number in numbers):
        yield "a price, a free quantity or a limit is no number from 0 on"
    if not price.per.is_finite() or price.per < 1 or price.per != Decimal(1).scaleb(price.per.adjusted()):
        yield f"per = {price.per} is not a power of ten"
    ends = [tier.up_to for tier in price.steps]
    if ends[-1] is not None or None in ends[:-1]:
        yield "the last tier, and no other, has no up_to"
    else:
        bounds = [end for end in ends if end is not None]
        if any(not bound.is_finite() or bound <= 0 for bound in bounds) or sorted(set(bounds)) != bounds:
            yield "the tiers' up_to must rise"


class Found(msgspec.Struct, frozen=True):
    """A price with the table that it stands in."""

    price: Price
    table: PriceTable


class PriceBook:
    """All tables. Of several with the same item, the operator's come first, then the newest that holds."""

    def __init__(self, shipped: Iterable[PriceTable], own: Iterable[PriceTable] = ()) -> None:
        """`own` are the operator's tables."""
        self.own = _newest_first(own)
        self.shipped = _newest_first(shipped)
        self._found = [_index(self.own), _index(self.shipped)]

    @property
    def tables(self) -> tuple[PriceTable, ...]:
        """Every table: the operator's, then the shipped, each newest first."""
        return (*self.own, *self.shipped)

    def find(self, table: str, item: str, region: str = "", *, on: date) -> Found:
        """The price of an item in a region on a day; a price of region "" holds in every region.

        Before the first table of the item its oldest one is used: an old bill is better priced by the first
        price that is known than not at all. PriceError if there is none, with the nearest name.
        """
        for layer in self._found:
            known = layer.get((table, item, region)) or layer.get((table, item, ""))
            if known:
                return next((found for found in known if found.table.date <= on), known[-1])
        raise PriceError(self._unknown(table, item, region))

    def table(self, name: str, *, on: date) -> PriceTable:
        """The newest table of a name on a day; the oldest if all are younger."""
        known = [one for one in self.tables if one.name == name]
        if not known:
            raise PriceError(f"there is no price table {name!r}; {_near(name, self._names())}")
        return next((one for one in known if one.date <= on), known[-1])

    def _unknown(self, table: str, item: str, region: str) -> str:
        named = [one for one in self.tables if one.name == table]
        if not named:
            return f"there is no price table {table!r}; {_near(table, self._names())}"
        items = {price.item for one in named for price in one.price}
        if item not in items:
            return f"{table} has no price for {item!r}; {_near(item, items)}"
        regions = {price.region for one in named for price in one.price if price.item == item}
        if not region:
            return f"{table} has {item!r} by region, so name one; {_near(region, regions)}"
        return f"{table} has no price for {item!r} in {region!r}; {_near(region, regions)}"

    def _names(self) -> set[str]:
        return {one.name for one in self.tables}


def _newest_first(tables: Iterable[PriceTable]) -> tuple[PriceTable, ...]:
    return tuple(sorted(sorted(tables, key=lambda one: one.name), key=lambda one: one.date, reverse=True))


def _index(tables: Iterable[PriceTable]) -> dict[tuple[str, str, str], list[Found]]:
    """The prices by table, item and region, newest first."""
    found: dict[tuple[str, str, str], list[Found]] = {}
    for table in tables:
        for price in table.price:
            found.setdefault((table.name, price.item, price.region), []).append(Found(price, table))
    return found


def _near(name: str, known: Iterable[str]) -> str:
    names: Sequence[str] = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names[:12])}"

"""What questions are asked of: sums of charges and of use, by whatever they were grouped by. Pure."""

from collections.abc import Callable, Iterable
from decimal import Decimal

import msgspec

from tidewatt_coordinator.costs.charge import SMALLEST
from tidewatt_wire.units import MILLIJOULES_PER_KILOWATT_HOUR

Key = tuple[str, ...]

#: What has no value for a thing that is grouped by.
NONE = "(none)"


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a group costs, in one currency, exactly."""

    key: Key
    currency: str
    billed: Decimal
    effective: Decimal
    marginal: Decimal | None
    """Its units at the price of one more; of the charges that know theirs, None if none does."""
    quantity: Decimal | None = None
    """Of the charges that have one; it means something where all have one unit."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What a group of devices used and did."""

    key: Key
    energy_mj: int
    requests: int


def added(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """The sum of what is known; None if nothing is."""
    if one is None or other is None:
        return one if other is None else other
    return one + other


def regrouped(costs: Iterable[Cost], key: Callable[[Key], Key]) -> list[Cost]:
    """The same money by other keys, in order of them."""
    found: dict[tuple[Key, str], Cost] = {}
    for cost in costs:
        place = (key(cost.key), cost.currency)
        before = found.get(place)
        found[place] = _sum(place[0], before, cost) if before else msgspec.structs.replace(cost, key=place[0])
    return [found[place] for place in sorted(found)]


def reused(uses: Iterable[Use], key: Callable[[Key], Key]) -> list[Use]:
    """The same use by other keys, in order of them."""
    found: dict[Key, Use] = {}
    for use in uses:
        place = key(use.key)
        before = found.get(place, Use(key=place, energy_mj=0, requests=0))
        found[place] = Use(
            key=place,
            energy_mj=before.energy_mj + use.energy_mj,
            requests=before.requests + use.requests,
        )
    return [found[place] for place in sorted(found)]


def kilowatt_hours(energy_mj: int) -> Decimal:
    """As charges count them."""
    return (Decimal(energy_mj) / MILLIJOULES_PER_KILOWATT_HOUR).quantize(SMALLEST)


def _sum(key: Key, one: Cost, other: Cost) -> Cost:
    return Cost(
        key=key,
        currency=one.currency,
        billed=one.billed + other.billed,
        effective=one.effective + other.effective,
        marginal=added(one.marginal, other.marginal),
        quantity=added(one.quantity, other.quantity),
    )

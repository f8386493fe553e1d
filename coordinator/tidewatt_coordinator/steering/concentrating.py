"""Traffic gathered where it is planned. Pure.

A board raises itself at once when more comes than its point carries, so what it *can* take is what its
strongest point can: that stays the limit. The plan only says who should have the traffic first: capacities
are those of the points where devices are planned and were seen, stretched alike until all that is asked fits.
Whatever the plan, no more is promised than without it.
"""

import math
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.staleness import demand_ceiling
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.steering.edge import Known

#: Room beyond what is needed, so that no share is decided by rounding.
ROOM = 0.02
#: A domain with this share of all is all.
WHOLE = 1.0 - 1e-9


def asked_of(
    each: Sequence[Backend], planned: Mapping[str, float], classes: Sequence[RequestClass], terms: Terms
) -> float:
    """Usable requests/s that all together must have for the table to fit, by what it keeps to: with room for
    the loss of any one domain, if that is to be absorbed.
    """
    ages = [one.age_s for one in each if 0.0 <= one.age_s <= terms.expire_s]
    oldest_s = max(ages, default=0.0) + terms.interval_s
    kept = terms.fill * (1.0 if terms.held else 1.0 - terms.capacity_loss_per_s * oldest_s)
    if terms.absorb_loss:
        kept *= 1.0 - _largest_domain(each, planned)
    if kept <= 0.0:
        return math.inf
    return sum(demand_ceiling(one, terms) for one in classes) / kept * (1.0 + ROOM)


def _largest_domain(each: Sequence[Backend], planned: Mapping[str, float]) -> float:
    """The share of the planned capacity that is lost with one domain; 0 where all would be: nothing helps."""
    domains: dict[str, float] = {}
    total = 0.0
    for one in each:
        rps = planned.get(one.name, one.usable_rps)
        total += rps
        if one.domain:
            domains[one.domain] = domains.get(one.domain, 0.0) + rps
    share = max(domains.values(), default=0.0) / total if total > 0.0 else 0.0
    return share if share < WHOLE else 0.0


def concentrated(
    known: Sequence[Known], each: Sequence[Backend], planned: Mapping[str, float], asked_rps: float
) -> list[Known]:
    """The devices with what they are to be given at the most: all they can where the plan is too small.

    `each`: as backends, at their strongest; `planned`: usable requests/s where they are planned and
    were seen. A device that isn't in the plan isn't limited.
    """
    most = {one.name: one.usable_rps for one in each}
    stretch = _stretch(most, planned, asked_rps)
    if stretch is None:
        return list(known)
    return [
        replace(one, most_rps=min(most[one.name], stretch * planned[one.name]))
        if one.name in planned and one.name in most
        else one
        for one in known
    ]


def _stretch(most: Mapping[str, float], planned: Mapping[str, float], asked_rps: float) -> float | None:
    """By what planned capacities are multiplied, at least 1, to be enough together; None: nothing does."""
    limits = sorted(
        (rps / planned[name], planned[name]) for name, rps in most.items() if planned.get(name, 0.0) > 0.0
    )
    full = sum(rps for name, rps in most.items() if name not in planned)
    left = sum(rps for _, rps in limits)
    for limit, rps in limits:
        if full + left * limit >= asked_rps:
            return max(1.0, (asked_rps - full) / left)
        full, left = full + rps * limit, left - rps
    return None

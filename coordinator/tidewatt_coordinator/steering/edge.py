"""The fleet's devices or sites as the optimiser takes them. Pure.

Capacity and joules per request are those of a board's strongest allowed point, not of its present one:
weights that chased modes would move traffic, which moves modes, which would move weights.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

import msgspec

from tidewatt_coordinator.dispatch.backends import Backend, Histogram
from tidewatt_governor.points import p95_at, strongest, usable_rps
from tidewatt_governor.policy import allowed
from tidewatt_wire.messages import Birth, OperatingPoint, Policy

JOULES_PER_KWH = 3_600_000.0
#: Requests that the tail of an operating point stands for: it is a model, and gets next to no margin.
MODELLED = 1_000_000
#: Half of what a request takes on an idle board is taken to be the least, as the simulated boards have it.
FLOOR_SHARE = 0.5
#: Buckets in shares of requests that are quicker.
QUICKER = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
#: The site of devices that have no label `site`.
NOWHERE = "edge"


class Known(msgspec.Struct, frozen=True):
    """A device that can be sent traffic."""

    name: str
    birth: Birth
    policy: Policy
    age_s: float
    """Since it was heard last."""
    most_rps: float | None = None
    """What it is to be given at the most, by the fleet's plan; null: all it can take."""


def devices(known: Iterable[Known], price_per_kwh: float, fill: float) -> list[Backend]:
    """A backend for each device."""
    return [_backend(one, price_per_kwh, fill) for one in known if one.birth.points]


def sites(known: Iterable[Known], price_per_kwh: float, fill: float) -> list[Backend]:
    """A backend for each site: what its devices can do together, at their mean cost, as old as the oldest."""
    grouped: dict[str, list[Backend]] = {}
    for one in devices(known, price_per_kwh, fill):
        grouped.setdefault(one.domain or NOWHERE, []).append(one)
    return [_site(name, members) for name, members in sorted(grouped.items())]


def _site(name: str, members: list[Backend]) -> Backend:
    able = [one for one in members if one.usable_rps > 0.0] or members
    usable = sum(one.usable_rps for one in able)
    cost = sum(one.marginal_cost * one.usable_rps for one in able) / usable if usable else 0.0
    regions = (
        frozenset.union(*(one.regions for one in able)) if all(one.regions for one in able) else frozenset()
    )
    return Backend(
        name=name,
        usable_rps=usable,
        marginal_cost=cost,
        age_s=max(one.age_s for one in able),
        # The slowest member's: each of them must keep what the site is trusted with.
        latency=max((one.latency for one in able), key=_slowness),
        regions=regions,
        domain=name,
    )


def _slowness(latency: Histogram | None) -> float:
    return math.inf if latency is None else latency.bounds_s[-1]


def _backend(known: Known, price_per_kwh: float, fill: float) -> Backend:
    policy, birth = known.policy, known.birth
    points = allowed(birth.points, policy)
    point = strongest(points, policy.slo_p95_ms)
    usable = usable_rps(point, policy.slo_p95_ms)
    if known.most_rps is not None:
        usable = min(known.most_rps, usable)
        able = [one for one in points if usable_rps(one, policy.slo_p95_ms) >= usable]
        # The point that carries it, as its own rule or the plan's hint has it.
        point = min(able, key=lambda one: usable_rps(one, policy.slo_p95_ms), default=point)
    region = birth.labels.get("region", "")
    return Backend(
        name=known.name,
        usable_rps=usable,
        marginal_cost=point.joules_per_request * price_per_kwh / JOULES_PER_KWH,
        age_s=max(known.age_s, 0.0),
        latency=_modelled(point, round(fill * usable, 6)) if usable > 0.0 else None,
        regions=frozenset({region} if region else ()),
        domain=birth.labels.get("site", ""),
    )


@lru_cache(maxsize=1024)  # a fleet has few kinds of boards, and one histogram each is what the arrays want
def _modelled(point: OperatingPoint, rps: float) -> Histogram | None:
    """What requests take at that load if the tail beyond the floor is exponential, as p95 has it."""
    p95_s, floor_s = p95_at(point, rps) / 1000.0, FLOOR_SHARE * point.light_p95_ms / 1000.0
    if not math.isfinite(p95_s):
        return None
    mean_s = (p95_s - floor_s) / math.log(20.0)
    bounds = tuple(floor_s - mean_s * math.log1p(-share) for share in QUICKER)
    upto = [round(share * MODELLED) for share in QUICKER]
    counts = [upto[0], *(high - low for low, high in pairwise(upto)), MODELLED - upto[-1]]
    return Histogram(bounds, tuple(counts))

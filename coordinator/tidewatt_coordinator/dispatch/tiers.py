"""The routing weights: cheap capacity first, within a tier in proportion to capacity. Pure.

Backends of equal marginal cost form a tier. Tiers are filled in order of cost, each up to a
share of its usable capacity, until the demand is placed. Capacity and cost are those of a
board's strongest allowed point, not of its present mode: weights that chased modes would
move traffic, which moves modes, which would move weights.
"""

from collections.abc import Sequence
from itertools import groupby

import msgspec

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.quantise import largest_remainder


class Weights(msgspec.Struct, frozen=True):
    """Parts per backend (they sum to PARTS, or to 0 without backends) and why, in one sentence."""

    parts: dict[str, int]
    reason: str


def weigh(backends: Sequence[Backend], demand_rps: float, fill: float) -> Weights:
    """The weights for a demand in requests/s; `fill` (0..1) is the share of capacity planned on."""
    able = [backend for backend in backends if backend.usable_rps > 0.0]
    if not able:
        return Weights({}, "no backend is able to serve: routers use their safe table")
    placed: dict[str, float] = {}
    left = max(demand_rps, 0.0)
    ranked = sorted(able, key=lambda backend: (backend.marginal_cost, backend.name))
    for _, group in groupby(ranked, key=lambda backend: backend.marginal_cost):
        tier = list(group)
        capacity = sum(backend.usable_rps for backend in tier)
        here = min(left, fill * capacity)
        left -= here
        for backend in tier:
            placed[backend.name] = here * backend.usable_rps / capacity
    if left > 0.0 or sum(placed.values()) <= 0.0:
        # More than is planned on, or nothing known yet: everybody helps by its strength.
        return Weights(
            largest_remainder({backend.name: backend.usable_rps for backend in able}),
            f"demand {demand_rps:.0f} rps: in proportion to the capacity of {len(able)} backends",
        )
    used = sum(1 for share in placed.values() if share > 0.0)
    return Weights(
        largest_remainder(placed),
        f"demand {demand_rps:.0f} rps fits the {used} cheapest of {len(able)} backends at {fill:.0%} full",
    )

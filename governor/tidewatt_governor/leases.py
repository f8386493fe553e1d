"""Leases: an application asks for a floor for a while; the governor chooses at or above it. Pure."""

from collections.abc import Sequence

import msgspec

from tidewatt_governor.points import find, usable_rps
from tidewatt_wire.messages import OperatingPoint


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A floor: no point with less capacity than `point`, until `until_s` (monotonic seconds)."""

    id: str
    point: str
    until_s: float
    reason: str


def at_or_above(
    points: Sequence[OperatingPoint],
    leases: Sequence[Lease],
    board: Sequence[OperatingPoint],
    slo_p95_ms: float,
) -> tuple[list[OperatingPoint], Lease | None]:
    """The points that hold every lease, and the highest lease; all points, and it, when none does.

    A policy's limit is stronger than a lease: where it leaves no point that high, the strongest is taken.
    """
    floors = [(lease, point) for lease in leases if (point := find(board, lease.point))]
    if not floors:
        return list(points), None

    def capacity(point: OperatingPoint) -> tuple[float, float]:
        return usable_rps(point, slo_p95_ms), point.capacity_rps

    highest, floor = max(floors, key=lambda one: capacity(one[1]))
    high = [point for point in points if capacity(point) >= capacity(floor)]
    return high or [max(points, key=capacity)], highest

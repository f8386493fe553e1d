"""What an operating point can do and draws: closed forms over the wire's OperatingPoint."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from tidewatt_wire.messages import OperatingPoint, Trim

#: A mode, or a mode under caps: the same figures.
Figures = OperatingPoint | Trim

#: Latency of a mode is finite below this utilisation; above it the model says "overload".
FULL = 0.995


def watts_at(point: Figures, rps: float) -> float:
    """Power in watts when `rps` requests/s are asked for; what exceeds capacity isn't served."""
    return point.idle_watts + point.joules_per_request * min(rps, point.capacity_rps)


def p95_at(point: Figures, rps: float) -> float:
    """95th percentile latency in milliseconds at `rps` requests/s; infinite in overload."""
    use = rps / point.capacity_rps
    if use >= FULL:
        return float("inf")
    return _p95(use, point.light_p95_ms, point.queueing)


def _p95(use: float, light_p95_ms: float, queueing: float) -> float:
    return light_p95_ms * (1.0 + queueing * use**4 / (1.0 - use))


def usable_rps(point: Figures, slo_p95_ms: float) -> float:
    """The highest rate in requests/s at which the point keeps p95 within `slo_p95_ms`; 0 if none."""
    return _usable_rps(point.capacity_rps, point.light_p95_ms, point.queueing, slo_p95_ms)


@lru_cache(maxsize=1024)  # asked every tick for the same few points
def _usable_rps(capacity_rps: float, light_p95_ms: float, queueing: float, slo_p95_ms: float) -> float:
    """See usable_rps: p95 rises strictly with the rate, so bisection finds it; 40 halvings give 1e-12."""
    if light_p95_ms > slo_p95_ms:
        return 0.0
    low, high = 0.0, capacity_rps * FULL
    for _ in range(40):
        middle = (low + high) / 2.0
        if _p95(middle / capacity_rps, light_p95_ms, queueing) <= slo_p95_ms:
            low = middle
        else:
            high = middle
    return low


def find(points: Iterable[OperatingPoint], name: str) -> OperatingPoint | None:
    """The point called `name`, or None."""
    return next((point for point in points if point.name == name), None)


def strongest(points: Sequence[OperatingPoint], slo_p95_ms: float) -> OperatingPoint:
    """The point that serves most within the SLO; among equals the one with more raw capacity.

    Raises ValueError when there are no points.
    """
    return max(points, key=lambda point: (usable_rps(point, slo_p95_ms), point.capacity_rps))


def cheapest(points: Sequence[OperatingPoint], rps: float) -> OperatingPoint:
    """The point that draws least at `rps`; among equals the one with more capacity.

    Raises ValueError when there are no points.
    """
    return min(points, key=lambda point: (watts_at(point, rps), -point.capacity_rps))


def full_watts(point: OperatingPoint) -> float:
    """Power in watts at full load: what points are ranked by where strength means heat and current."""
    return watts_at(point, point.capacity_rps)

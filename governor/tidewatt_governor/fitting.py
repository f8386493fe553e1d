"""From measurements to an operating point: power, capacity, latency, and how far off the fit is. Pure.

Power is a line in the answered rate. Latency is the wire's closed form, in logarithms: its unloaded
value by least squares, capacity and queueing by looking at a grid of both, for few measurements leave
several pairs that explain them. Those that do equally well give the uncertainty of the usable rate.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec

from tidewatt_governor.points import FULL, usable_rps
from tidewatt_wire.messages import OperatingPoint

#: A person waits for each, under load.
MOST_MEASUREMENTS = 15
#: The 95th percentile of n exponential answers is off by this over the root of n.
P95_SPREAD = 1.45
#: And no application follows the closed form better than this.
SHAPE_ERROR = 0.03
#: How far (in logarithms, one deviation) an application's queueing lies from its profile's.
QUEUEING_SPREAD = 0.7
#: A rate that was served in saturation is the capacity within this.
SATURATED_SPREAD = 0.02
#: Answered less than this share of what was offered: saturated.
KEEPING_UP = 0.95
#: More failures than this share: not served.
FEW_FAILURES = 0.02
LEAST_QUEUEING, MOST_QUEUEING = 0.02, 5.0
GRID = 48
#: Curves that explain no worse than by two deviations are as likely as the best.
DOUBT = 4.0
#: Power that changes by less than this share between idle and load is flat: some boards' modes are.
FLAT = 0.02
#: No board draws less: a reading below it is weighed as this.
LEAST_WATTS = 0.1
#: The governor's figures reach no further than this beyond what was measured.
FURTHEST = 2.0


class BadMeasurementError(ValueError):
    """The measurements tell nothing that a profile could be made of; the sentence says why."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What a board and its application did at one operating point under one offered rate."""

    point: str
    offered_rps: float
    """Requests/s that were really sent."""
    seconds: float
    """How long it was measured, settling not counted."""
    answered_rps: float = 0.0
    """Requests/s that were answered well; at most the offered rate but for chance."""
    failed: float = 0.0
    """Share of the requests that were refused, timed out or answered by an error, 0..1."""
    p95_ms: float | None = None
    watts: float | None = None
    """Mean power; None: there was no reading."""
    cut: bool = False
    """Ended before its time, because the application no longer kept up."""

    @property
    def over(self) -> bool:
        """Whether the application did not keep up with what was offered."""
        slow = self.answered_rps < KEEPING_UP * self.offered_rps - 2.0 / self.seconds
        return self.cut or slow or self.failed > FEW_FAILURES


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """An operating point as measured, and how far off it may be."""

    point: OperatingPoint
    power_error: float
    """The largest share by which the power line misses a measurement."""
    rate_error: float
    """Half the width of the usable rates that explain the latencies as well, as a share of the rate."""
    measurements: int


def power_line(made: Sequence[Measurement]) -> tuple[float, float, float]:
    """Idle watts, joules per request, and the largest relative error, by relative least squares.

    Raises BadMeasurementError where there is no line to draw. What was cut short isn't used: power
    follows the load with a delay.
    """
    pairs = [(m.answered_rps, m.watts) for m in made if m.watts is not None and not m.cut]
    pairs = [(rps, watts) for rps, watts in pairs if watts > 0.0]
    name = made[0].point if made else "?"
    if len({rps for rps, _ in pairs}) < 2:  # noqa: PLR2004 - a line has two ends
        raise BadMeasurementError(f"{name}: power was read at fewer than two rates, which makes no line")
    low, high = min(pairs), max(pairs)
    if high[1] < low[1] * (1.0 - FLAT):
        raise BadMeasurementError(
            f"{name}: power falls as the load rises ({low[1]:.2f} W at {low[0]:.0f} requests/s, "
            f"{high[1]:.2f} W at {high[0]:.0f}): either the reading isn't this board's or the "
            "application doesn't run here"
        )
    weights = [
        (1.0 / max(watts, LEAST_WATTS)) ** 2 for _, watts in pairs
    ]  # the square of the watts may have no number
    total = sum(weights)
    mean_rps = sum(w * rps for w, (rps, _) in zip(weights, pairs, strict=True)) / total
    mean_watts = sum(w * watts for w, (_, watts) in zip(weights, pairs, strict=True)) / total
    rises = sum(
        w * (rps - mean_rps) * (watts - mean_watts) for w, (rps, watts) in zip(weights, pairs, strict=True)
    )
    spread = sum(w * (rps - mean_rps) ** 2 for w, (rps, _) in zip(weights, pairs, strict=True))
    if spread <= 0.0:
        raise BadMeasurementError(f"{name}: the powers that were read lie too far apart to be one board's")
    each = max(0.0, rises / spread)
    idle = max(0.0, mean_watts - each * mean_rps)
    return idle, each, max(abs(idle + each * rps - watts) / max(watts, LEAST_WATTS) for rps, watts in pairs)


class _Curve(msgspec.Struct, frozen=True):
    """A latency curve, and how badly it explains the measurements (in squared deviations)."""

    capacity_rps: float
    queueing: float
    light_p95_ms: float
    misfit: float


def fit(prior: OperatingPoint, made: Sequence[Measurement], slo_p95_ms: float) -> Fit:
    """The point as `made` (all of it at `prior`) shows it.

    Raises BadMeasurementError where power or latency can't be told.
    """
    return _fit(prior, tuple(made), slo_p95_ms)


@lru_cache(maxsize=64)  # the planner asks again for modes that nothing was added to
def _fit(prior: OperatingPoint, made: tuple[Measurement, ...], slo_p95_ms: float) -> Fit:
    idle, each, power_error = power_line(made)
    curves = _curves(prior, made)
    best = min(curves, key=lambda curve: curve.misfit)
    found = _as_point(prior, best, idle, each)
    rates = [
        usable_rps(_as_point(prior, curve, idle, each), slo_p95_ms)
        for curve in curves
        if curve.misfit <= best.misfit + DOUBT
    ]
    middle = max(usable_rps(found, slo_p95_ms), 1e-9)
    return Fit(
        point=found,
        power_error=power_error,
        rate_error=min(1.0, (max(rates) - min(rates)) / 2.0 / middle),
        measurements=len(made),
    )


def _as_point(prior: OperatingPoint, curve: _Curve, idle: float, each: float) -> OperatingPoint:
    return OperatingPoint(
        name=prior.name,
        mode_id=prior.mode_id,
        capacity_rps=curve.capacity_rps,
        idle_watts=idle,
        joules_per_request=each,
        light_p95_ms=curve.light_p95_ms,
        queueing=curve.queueing,
        measured=True,
    )


def _curves(prior: OperatingPoint, made: Sequence[Measurement]) -> list[_Curve]:
    """Every curve of the grid, then those of a finer one around the best."""
    served = [m for m in made if m.answered_rps > 0.0 and m.p95_ms is not None and not m.over]
    full = [m.answered_rps for m in made if m.over and m.answered_rps > 0.0]
    if not served:
        raise BadMeasurementError(f"{prior.name}: no rate was served within its time")
    least = max(m.answered_rps for m in served) / (FULL - 0.005)
    most = FURTHEST * max(least, prior.capacity_rps if not full else max(full))
    queueing = (LEAST_QUEUEING, MOST_QUEUEING)
    coarse = [_curve(prior, served, full, c, q) for c, q in _grid((least, most), queueing)]
    best = min(coarse, key=lambda curve: curve.misfit)
    step_c, step_q = (most / least) ** (1.0 / GRID), (MOST_QUEUEING / LEAST_QUEUEING) ** (1.0 / GRID)
    around = (
        (max(least, best.capacity_rps / step_c), best.capacity_rps * step_c),
        (best.queueing / step_q, best.queueing * step_q),
    )
    return coarse + [_curve(prior, served, full, c, q) for c, q in _grid(*around)]


def _grid(capacities: tuple[float, float], queueings: tuple[float, float]) -> Iterator[tuple[float, float]]:
    for capacity in _steps(*capacities):
        for queueing in _steps(*queueings):
            yield capacity, queueing


def _steps(low: float, high: float) -> list[float]:
    return [low * (high / low) ** (number / GRID) for number in range(GRID + 1)]


def _curve(
    prior: OperatingPoint, served: list[Measurement], full: list[float], capacity: float, queueing: float
) -> _Curve:
    """The unloaded latency that fits best with this capacity and queueing, and the misfit that is left."""
    terms: list[tuple[float, float]] = []
    for m in served:
        use = min(m.answered_rps / capacity, FULL)
        bend = math.log1p(queueing * use**4 / (1.0 - use))
        requests = max(1.0, m.answered_rps * m.seconds)
        variance = SHAPE_ERROR**2 + P95_SPREAD**2 / requests
        terms.append((math.log(m.p95_ms or 1.0) - bend, variance))
    light = sum(value / variance for value, variance in terms) / sum(1.0 / v for _, v in terms)
    misfit = sum((value - light) ** 2 / variance for value, variance in terms)
    misfit += (
        math.log(queueing / min(max(prior.queueing, LEAST_QUEUEING), MOST_QUEUEING)) / QUEUEING_SPREAD
    ) ** 2
    misfit += sum((math.log(capacity / rate) / SATURATED_SPREAD) ** 2 for rate in full)
    return _Curve(capacity, queueing, math.exp(light), misfit)

"""The sweep that measures a board's operating points: which rate to try next, and when to stop. Pure.

The plan and the measurements made so far are all the state: `next_step` of the same ones is the same.

Each mode is measured idle, lightly loaded, and near what it can serve; what is left of the budget goes
where the fit is least certain. Invariants (each is a test):
- at most `most` measurements in all;
- a rate is at most CLIMB times one that was served well, and never above `most_rps`;
- a mode that broke the promise or fell behind isn't asked for as much again;
- where a board has more modes than the budget can measure, the last ones are left as they were.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from tidewatt_governor.boards import BoardProfile, Calibrated
from tidewatt_governor.fitting import MOST_MEASUREMENTS, BadMeasurementError, Fit, Measurement, fit
from tidewatt_governor.points import usable_rps
from tidewatt_wire.messages import OperatingPoint

#: Idle, light and near capacity: fewer leave no error to see.
PER_MODE = 3
#: Nobody knows yet what the application can do: the first rate is a tenth of the profile's capacity.
FIRST, LIGHT, NEAR = 0.1, 0.3, 0.85
#: From a rate that was served well the next is at most this many times as high.
CLIMB = 3.0
#: Where the profile's capacity is reached and latency is still flat, further by this; by less on a slope.
BEYOND, ON_SLOPE = 1.4, 1.15
#: Latency is flat up to this many times the unloaded one, and has bent from that many.
FLAT, BENT = 1.1, 1.5
#: Two rates nearer than this tell the same.
APART = 1.1
#: Between two rates nearer than this share of the capacity power has no room to bend.
NARROW = 0.15
#: Good enough: a power line that misses by no more, and a usable rate known as well.
GOOD_POWER, GOOD_RATE = 0.02, 0.08


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured and how gently. `points`: in the order to visit, as known so far."""

    points: list[OperatingPoint]
    slo_p95_ms: float
    most: int = MOST_MEASUREMENTS
    seconds: float = 20.0
    """Of each measurement."""
    most_rps: float = math.inf


class Step(msgspec.Struct, frozen=True):
    """The next measurement: at which point, how many requests/s (0: idle), for how long, and why."""

    point: str
    rps: float
    seconds: float
    why: str


def next_step(plan: Plan, made: Sequence[Measurement]) -> Step | None:
    """What to measure next; None when it is good or the budget is spent.

    Raises BadMeasurementError as soon as no profile can come of it.
    """
    for one in made:
        _must_tell(one)
    left = plan.most - len(made)
    if left <= 0:
        return None
    visited = plan.points[: max(1, plan.most // PER_MODE)]
    for number, point in enumerate(visited):
        mine = _of(made, point)
        ahead = sum(max(0, PER_MODE - len(_of(made, other))) for other in visited[number + 1 :])
        spare = left - ahead - max(0, PER_MODE - len(mine))
        if step := _first_look(plan, point, mine, made, spare):
            return step
    return _refine(plan, visited, made)


def fits(plan: Plan, made: Sequence[Measurement]) -> list[Fit]:
    """The fit of every mode that was measured, in the plan's order. Raises BadMeasurementError."""
    return [fit(point, mine, plan.slo_p95_ms) for point in plan.points if (mine := _of(made, point))]


def calibrated(base: BoardProfile, found: Sequence[Fit], date: str) -> BoardProfile:
    """The board's profile with what was found, dated (YYYY-MM-DD).

    Modes that were never measured are moved in proportion to those that now were, and stay unmeasured:
    another application's capacity beside this one's would send the board to a mode that can't serve it.
    What an earlier calibration had measured stays, so that a board can be measured mode by mode.
    """
    by_name = {one.point.name: one for one in found}
    ratios = [_ratios(base.point(name), one.point) for name, one in by_name.items()]
    mean = [math.exp(sum(map(math.log, column)) / len(column)) for column in zip(*ratios, strict=True)]
    moved = [
        by_name[point.name].point
        if point.name in by_name
        else point
        if point.measured
        else _scaled(point, mean)
        for point in base.points
    ]
    before = base.calibration or Calibrated(date=date, measurements=0, power_error={}, rate_error={})
    record = Calibrated(
        date=date,
        measurements=before.measurements + sum(one.measurements for one in found),
        power_error=before.power_error | {name: round(one.power_error, 4) for name, one in by_name.items()},
        rate_error=before.rate_error | {name: round(one.rate_error, 4) for name, one in by_name.items()},
    )
    return msgspec.structs.replace(base, points=moved, calibration=record)


def _of(made: Sequence[Measurement], point: OperatingPoint) -> list[Measurement]:
    return [one for one in made if one.point == point.name]


def _must_tell(one: Measurement) -> None:
    where = f"{one.point} at {one.offered_rps:.0f} requests/s"
    if one.watts is None and not one.cut:
        raise BadMeasurementError(
            f"{where}: no power reading came; `tidewatt-agent doctor` says what is missing"
        )
    read = [value for value in (one.watts, one.p95_ms) if value is not None]
    if not all(0.0 < value < math.inf for value in (*read, one.seconds)):
        raise BadMeasurementError(f"{where}: {one.watts} W and {one.p95_ms} ms are no measurement")
    if one.offered_rps > 0.0 and one.answered_rps <= 0.0:
        raise BadMeasurementError(f"{where}: the application answered no request well")


def _first_look(
    plan: Plan, point: OperatingPoint, mine: list[Measurement], made: Sequence[Measurement], spare: int
) -> Step | None:
    """Idle, light, near capacity; and on the way up whatever the budget spares. None when that is done."""
    if not mine:
        return Step(point.name, 0.0, plan.seconds, "idle")
    expected = point.capacity_rps * _scale(plan, made)
    known = any(_good(one, plan) for one in made if one.offered_rps > 0.0)
    rps = _climb(plan, expected, mine, known)
    if rps is None or (len(mine) >= PER_MODE and spare <= 0):
        return None
    return Step(point.name, min(rps, plan.most_rps), plan.seconds, "light" if len(mine) == 1 else "climbing")


def _climb(plan: Plan, expected: float, mine: Sequence[Measurement], known: bool) -> float | None:
    """The next rate on the way to capacity, None at the top. `expected`: capacity as far as known."""
    good = [one.offered_rps for one in mine if one.offered_rps > 0.0 and _good(one, plan)]
    bad = [one for one in mine if one.offered_rps > 0.0 and not _good(one, plan)]
    ceiling = min((_served(one) for one in bad), default=math.inf)
    if not good:
        if not bad:
            return expected * (LIGHT if known else FIRST)
        return None if len(bad) > 2 else LIGHT * ceiling  # noqa: PLR2004 - it never is good
    top = max(good)
    if bad:
        return NEAR * ceiling if NEAR * ceiling >= APART * top else None
    rise = _rise(mine)
    if rise >= BENT:
        return None
    wanted = NEAR * expected
    if wanted < APART * top:
        wanted = top * (BEYOND if rise <= FLAT else ON_SLOPE)
    rps = min(wanted, CLIMB * top, plan.most_rps)
    return rps if rps >= APART * top else None


def _rise(mine: Sequence[Measurement]) -> float:
    """How many times the lowest latency the highest is."""
    found = [one.p95_ms for one in mine if one.p95_ms]
    return max(found) / min(found) if found else 1.0


def _served(one: Measurement) -> float:
    """What a measurement that wasn't good says of the most that can be served."""
    return one.answered_rps if one.over else one.offered_rps


def _good(one: Measurement, plan: Plan) -> bool:
    return not one.over and (one.p95_ms is None or one.p95_ms <= plan.slo_p95_ms)


def _scale(plan: Plan, made: Sequence[Measurement]) -> float:
    """This application's capacity in terms of the profile's, from the modes that were climbed so far."""
    logs: list[float] = []
    for point in plan.points:
        mine = _of(made, point)
        if len(mine) >= PER_MODE:
            found = fit(point, mine, plan.slo_p95_ms).point
            logs.append(math.log(found.capacity_rps / point.capacity_rps))
    return math.exp(sum(logs) / len(logs)) if logs else 1.0


def _refine(plan: Plan, visited: Sequence[OperatingPoint], made: Sequence[Measurement]) -> Step | None:
    """One more measurement where the fit is least certain; None where all are good."""
    worst: tuple[float, Step] | None = None
    for point in visited:
        mine = _of(made, point)
        found = fit(point, mine, plan.slo_p95_ms)
        for doubt, rps, why in (
            (found.rate_error / GOOD_RATE, _edge(plan, found, mine), "capacity is uncertain"),
            (found.power_error / GOOD_POWER, _gap(found, mine), "power is uncertain"),
        ):
            if doubt > 1.0 and rps is not None and (worst is None or doubt > worst[0]):
                worst = doubt, Step(point.name, min(rps, plan.most_rps), plan.seconds, why)
    return worst[1] if worst else None


def _edge(plan: Plan, found: Fit, mine: Sequence[Measurement]) -> float | None:
    """The rate at which the promise is expected to end; None if that was measured already."""
    good = [one.offered_rps for one in mine if _good(one, plan)]
    edge = min(usable_rps(found.point, plan.slo_p95_ms), CLIMB * max(good), plan.most_rps)
    near = any(edge / APART**0.25 <= one.offered_rps <= edge * APART**0.25 for one in mine)
    blocked = any(one.over and one.offered_rps <= edge for one in mine)
    return None if near or blocked or edge <= 0.0 else edge


def _gap(found: Fit, mine: Sequence[Measurement]) -> float | None:
    """The middle of the widest gap between measured rates; None where it is narrow."""
    rates = sorted(one.offered_rps for one in mine if not one.over)
    gaps = [(high - low, (high + low) / 2.0) for low, high in pairwise(rates)]
    widest = max(gaps, default=(0.0, 0.0))
    return widest[1] if widest[0] > NARROW * found.point.capacity_rps else None


def _ratios(before: OperatingPoint, after: OperatingPoint) -> tuple[float, float, float, float]:
    return (
        after.capacity_rps / before.capacity_rps,
        _ratio(after.idle_watts, before.idle_watts),
        _ratio(after.joules_per_request, before.joules_per_request),
        after.light_p95_ms / before.light_p95_ms,
    )


def _ratio(after: float, before: float) -> float:
    return after / before if after > 0.0 and before > 0.0 else 1.0


def _scaled(point: OperatingPoint, by: Sequence[float]) -> OperatingPoint:
    return msgspec.structs.replace(
        point,
        capacity_rps=point.capacity_rps * by[0],
        idle_watts=point.idle_watts * by[1],
        joules_per_request=point.joules_per_request * by[2],
        light_p95_ms=point.light_p95_ms * by[3],
        measured=False,
        trims=[],  # like those of a measured mode: caps of the class beside this board's modes tell nothing
    )

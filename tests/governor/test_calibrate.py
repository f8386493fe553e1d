"""The sweep on the simulated board: few measurements, gently made, and a model that is right."""

import math
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_governor.boards import BoardProfile, load_profile, parse_profile
from tidewatt_governor.calibrate import CLIMB, Plan, Step, calibrated, fits, next_step
from tidewatt_governor.fitting import P95_SPREAD, BadMeasurementError, Measurement
from tidewatt_governor.points import FULL, p95_at, usable_rps, watts_at
from tidewatt_governor.simulate.board import advance, set_point, switched_on
from tidewatt_wire.documents import to_toml
from tidewatt_wire.messages import OperatingPoint

SHIPPED = load_profile("orin-nano-super")
SETTLE_S = 3.0


class Bench:
    """A simulated board with an application: measures a step as the agent would, chance included."""

    def __init__(self, truth: BoardProfile, seed: int = 1) -> None:
        self.truth, self.chance = truth, random.Random(seed)
        self.state = switched_on(truth)
        self.overloads = 0

    def measure(self, step: Step) -> Measurement:
        point = self.truth.point(step.point)
        self.state = set_point(self.state, self.truth, step.point)
        rps = self._poisson(step.rps, step.seconds)
        warm = advance(self.state, self.truth, SETTLE_S, rps)
        end = advance(warm, self.truth, step.seconds, rps)
        self.state = end
        cut = rps > point.capacity_rps * FULL
        self.overloads += cut
        answered = min(rps, point.capacity_rps)
        p95_ms = None
        if rps > 0.0:
            noise = P95_SPREAD / math.sqrt(max(1.0, answered * step.seconds))
            p95_ms = min(2000.0, p95_at(point, rps)) * math.exp(self.chance.gauss(0.0, noise))
        watts = (end.energy_j - warm.energy_j) / step.seconds * self.chance.gauss(1.0, 0.005)
        return Measurement(
            point=step.point, offered_rps=rps, seconds=step.seconds,
            answered_rps=answered, p95_ms=p95_ms, watts=watts, cut=cut,
        )  # fmt: skip

    def _poisson(self, rps: float, seconds: float) -> float:
        return max(0.0, self.chance.gauss(rps, math.sqrt(rps / seconds))) if rps else 0.0


def sweep(plan: Plan, measure: Callable[[Step], Measurement]) -> list[Measurement]:
    made: list[Measurement] = []
    while step := next_step(plan, made):
        served = [m.offered_rps for m in made if m.point == step.point and not m.over and m.offered_rps > 0]
        if served:
            assert step.rps <= CLIMB * max(served) * 1.001, "no leap into the unknown"
        assert step.rps <= plan.most_rps
        made.append(measure(step))
        assert len(made) <= plan.most
    return made


def other_board(scale: float, watts: float, seed: int) -> BoardProfile:
    """A board and an application that are not the profile's: by `scale` in capacity, by `watts` in power."""
    chance = random.Random(seed)

    def changed(point: OperatingPoint) -> OperatingPoint:
        return msgspec.structs.replace(
            point,
            capacity_rps=point.capacity_rps * scale * chance.uniform(0.9, 1.1),
            idle_watts=point.idle_watts * watts * chance.uniform(0.9, 1.1),
            joules_per_request=point.joules_per_request * watts / scale * chance.uniform(0.9, 1.1),
            light_p95_ms=point.light_p95_ms * chance.uniform(0.6, 1.2),
            queueing=point.queueing * chance.uniform(0.5, 2.0),
        )

    return msgspec.structs.replace(SHIPPED, points=[changed(point) for point in SHIPPED.points])


def settled_watts(truth: BoardProfile, name: str, rps: float) -> float:
    state = set_point(switched_on(truth), truth, name)
    return advance(state, truth, 1800.0, rps).watts


def errors(found: BoardProfile, truth: BoardProfile) -> list[float]:
    """The power model's relative errors, in every mode from idle to nearly full, temperature settled."""
    rates = [(p, p.capacity_rps * use / 10.0) for p in truth.points for use in range(10)]
    truths = [(p, rps, settled_watts(truth, p.name, rps)) for p, rps in rates]
    return [abs(watts_at(found.point(p.name), rps) - watts) / watts for p, rps, watts in truths]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("truth", "seconds"),
    [
        pytest.param(SHIPPED, 20.0, id="as_shipped"),
        pytest.param(other_board(1.0, 1.15, 2), 20.0, id="draws_15_percent_more"),
        pytest.param(other_board(4.0, 0.9, 4), 20.0, id="a_light_application"),
        # Some ten requests a second: it takes longer to see what they do.
        pytest.param(other_board(0.12, 1.1, 3), 60.0, id="a_heavy_application"),
    ],
)
def test_at_most_15_points_and_under_5_percent(truth: BoardProfile, seconds: float, seed: int) -> None:
    bench = Bench(truth, seed)
    plan = Plan(points=SHIPPED.points, slo_p95_ms=60.0, seconds=seconds)
    found = calibrated(SHIPPED, fits(plan, sweep(plan, bench.measure)), "2026-11-21")
    assert max(errors(found, truth)) < 0.05
    assert bench.overloads <= 1
    assert found.calibration is not None
    for point in truth.points:
        assert found.point(point.name).measured
        off = usable_rps(found.point(point.name), 60.0) / usable_rps(point, 60.0) - 1.0
        assert abs(off) <= max(0.05, 1.5 * found.calibration.rate_error[point.name]), "and it knows how far"


def test_a_profile_is_written_and_read_back() -> None:
    plan = Plan(points=SHIPPED.points, slo_p95_ms=60.0)
    found = calibrated(SHIPPED, fits(plan, sweep(plan, Bench(SHIPPED).measure)), "2026-11-21")
    again = parse_profile(to_toml(found), name="x.toml")
    assert again == found
    assert again.calibration is not None
    assert again.calibration.measurements <= 15
    assert max(again.calibration.power_error.values()) < 0.03


def test_it_ends_early_when_it_is_good() -> None:
    plan = Plan(points=SHIPPED.points[:1], slo_p95_ms=60.0)
    assert len(sweep(plan, Bench(SHIPPED).measure)) <= 7


def test_modes_that_the_budget_leaves_out_move_with_the_others_and_stay_unmeasured() -> None:
    heavy = other_board(0.2, 1.0, 5)
    plan = Plan(points=SHIPPED.points, slo_p95_ms=60.0, most=6)
    made = sweep(plan, Bench(heavy).measure)
    assert {one.point for one in made} == {"15W", "25W"}
    found = calibrated(SHIPPED, fits(plan, made), "2026-11-21")
    assert [point.measured for point in found.points] == [True, True, False, False]
    assert found.point("7W").capacity_rps == pytest.approx(0.2 * SHIPPED.point("7W").capacity_rps, rel=0.3)


def test_a_board_can_be_measured_mode_by_mode() -> None:
    heavy, base = other_board(0.2, 1.0, 5), SHIPPED
    for name in ("25W", "15W"):
        plan = Plan(points=[base.point(name)], slo_p95_ms=60.0, most=6)
        before, base = base, calibrated(base, fits(plan, sweep(plan, Bench(heavy).measure)), "2026-11-21")
    assert base.point("25W") == before.point("25W"), "what was measured before stays"
    assert [point.measured for point in base.points] == [True, True, False, False]
    assert base.calibration is not None
    assert set(base.calibration.rate_error) == {"25W", "15W"}
    assert base.calibration.measurements > 6


def test_no_more_is_asked_than_allowed() -> None:
    plan = Plan(points=SHIPPED.points, slo_p95_ms=60.0, most_rps=90.0)
    made = sweep(plan, Bench(SHIPPED).measure)
    assert max(one.offered_rps for one in made) < 90.0 * 1.1  # chance included
    assert fits(plan, made)[0].rate_error > 0.1, "what was not reached isn't known"


def measured(rps: float, watts: float | None, p95_ms: float | None = 20.0, **more: float) -> Measurement:
    return Measurement(
        point="15W", offered_rps=rps, seconds=20.0, watts=watts, p95_ms=p95_ms if rps else None,
        answered_rps=more.get("answered", rps), failed=more.get("failed", 0.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ([measured(0, None)], "15W at 0 requests/s: no power reading came"),
        ([measured(0, 5), measured(22, 6, answered=0.0)], "the application answered no request well"),
        ([measured(0, 5), measured(22, 6, float("nan"))], "are no measurement"),
        ([measured(0, -1)], "are no measurement"),
        ([measured(0, 6), measured(22, 6), measured(66, 5)], "power falls as the load rises"),
        ([measured(0, 5), measured(22, 6, failed=0.2), measured(6, 5.3, failed=0.2)], "was served"),
    ],
)
def test_bad_data_is_one_sentence(made: list[Measurement], sentence: str) -> None:
    plan = Plan(points=SHIPPED.points, slo_p95_ms=60.0, most=len(made))

    def whole() -> None:
        next_step(plan, made)
        fits(plan, made)

    with pytest.raises(BadMeasurementError, match=sentence):
        whole()


any_float = st.one_of(st.none(), st.floats(), st.floats(0.1, 1e4))
hostile: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    answered=st.floats(0, 1.2),
    failed=st.floats(0, 1),
    p95_ms=st.one_of(any_float, st.floats(5, 100)),
    watts=st.one_of(any_float, st.floats(3, 30)),
    cut=st.booleans(),
)


@given(st.lists(hostile, min_size=15, max_size=15), st.integers(1, 15), st.floats(1, 1e4))
@settings(max_examples=60)
def test_whatever_comes_it_is_bounded_and_ends(answers: list[dict[str, Any]], most: int, cap: float) -> None:
    plan = Plan(points=SHIPPED.points, slo_p95_ms=60.0, most=most, most_rps=cap)

    def measure(step: Step) -> Measurement:
        answer = dict(answers[asked.pop()])
        rps = answer.pop("answered") * step.rps
        return Measurement(
            point=step.point, offered_rps=step.rps, seconds=step.seconds, answered_rps=rps, **answer
        )  # fmt: skip

    asked = list(range(15))
    try:
        found = fits(plan, sweep(plan, measure))
    except BadMeasurementError:
        return
    for one in found:
        assert one.point.capacity_rps > 0.0
        assert one.point.idle_watts >= 0.0
        assert one.point.joules_per_request >= 0.0

"""Online learning: bounded whatever comes, slow, robust, and right about a board that isn't its profile."""

import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatt_governor.boards import load_profile
from tidewatt_governor.learn import (
    BOUND,
    ENOUGH_MIN,
    SLOWEST_STEP,
    Known,
    fresh,
    learn,
    learned_points,
    origin,
    usable,
)
from tidewatt_governor.points import watts_at
from tidewatt_governor.simulate.board import advance, set_point, switched_on
from tidewatt_governor.traffic import shipped_day
from tidewatt_wire.messages import OperatingPoint

SHIPPED = load_profile("orin-nano-super")
POINT = SHIPPED.point("25W")


def heavier(share: float) -> list[OperatingPoint]:
    return [
        msgspec.structs.replace(
            point,
            idle_watts=point.idle_watts * (1 + share),
            joules_per_request=point.joules_per_request * (1 + share),
        )
        for point in SHIPPED.points
    ]


def a_day(share: float, name: str, minutes: int) -> Known:
    """A day of traffic on a simulated board that draws `share` more than the profile says."""
    truth = msgspec.structs.replace(SHIPPED, points=heavier(share))
    state, known, point = set_point(switched_on(truth), truth, name), None, SHIPPED.point(name)
    day = shipped_day()
    rates = [day.rps_at(day.start_ms + minute * 60_000) for minute in range(minutes)]
    most = max(rates)
    for rps in rates:
        before = state
        state = advance(state, truth, 60.0, 0.9 * rps / most * point.capacity_rps)
        watts = (state.energy_j - before.energy_j) / 60.0
        known = learn(known or fresh(point), point, watts, (state.requests - before.requests) / 60.0)
    assert known
    return known


def off(found: OperatingPoint, truth: OperatingPoint) -> float:
    """The largest relative error from idle to nearly full."""
    rates = [truth.capacity_rps * use / 10.0 for use in range(10)]
    return max(abs(watts_at(found, rps) / watts_at(truth, rps) - 1.0) for rps in rates)


@pytest.mark.parametrize("share", [0.15, -0.2, 0.4])
def test_it_converges_on_a_board_that_is_not_its_profile(share: float) -> None:
    known = a_day(share, "25W", 1440)
    (_, found, *_), (_, truth, *_) = learned_points(SHIPPED.points, {"25W": known}), heavier(share)
    assert off(POINT, truth) > 0.13
    # The board's leakage is part of what is learned, and no part of `truth`.
    assert off(found, truth) < 0.03
    assert found.measured
    assert origin(SHIPPED, "25W", {"25W": known}) == "measured"


def test_other_modes_go_along_and_are_not_called_measured() -> None:
    knowledge = {"25W": a_day(0.15, "25W", 1440)}
    for found, truth, profile in zip(
        learned_points(SHIPPED.points, knowledge), heavier(0.15), SHIPPED.points, strict=True
    ):
        assert off(found, truth) < 0.04
        assert found.measured == (found.name == "25W")
        assert found.capacity_rps == profile.capacity_rps
    assert origin(SHIPPED, "7W", knowledge) == "class_default"
    calibrated = msgspec.structs.replace(POINT, measured=True)
    assert origin(msgspec.structs.replace(SHIPPED, points=[calibrated]), "25W", {}) == "calibrated"


def test_nothing_learned_is_the_profile() -> None:
    assert learned_points(SHIPPED.points, {}) == SHIPPED.points


def test_one_load_for_ever_tells_its_watts_but_measures_nothing() -> None:
    known = fresh(POINT)
    for _ in range(3000):
        known = learn(known, POINT, 12.0, 100.0)
    (found,) = learned_points([POINT], {"25W": known})
    assert watts_at(found, 100.0) == pytest.approx(12.0, rel=0.01)
    assert not found.measured, "one load doesn't tell idle watts from joules per request"


def test_outliers_leave_no_trace_and_a_few_odd_minutes_hardly_one() -> None:
    known = a_day(0.15, "25W", 600)
    (before,) = learned_points([POINT], {"25W": known})
    for watts in (0.0, -5.0, 900.0, 40.0, math.nan, math.inf, 1e300):
        known = learn(known, POINT, watts, 100.0)
    (after,) = learned_points([POINT], {"25W": known})
    assert after == before
    assert known.refused == 7
    for _ in range(3):
        known = learn(known, POINT, 1.4 * watts_at(before, 100.0), 100.0)
    (after,) = learned_points([POINT], {"25W": known})
    assert off(after, before) < 0.015


def test_it_forgets_in_days() -> None:
    known = a_day(0.15, "25W", 1440)
    chance = random.Random(1)
    for day in range(4):
        for _ in range(1440):
            rps = chance.uniform(0, 300)
            known = learn(known, POINT, watts_at(POINT, rps), rps)
        (found,) = learned_points([POINT], {"25W": known})
        assert off(found, POINT) < 0.15 * math.exp(-day - 1) + 0.005


numbers = st.one_of(st.floats(), st.floats(0, 50), st.floats(-1e3, 1e3))
some_point = st.builds(
    OperatingPoint,
    name=st.just("25W"),
    mode_id=st.just(0),
    capacity_rps=st.floats(0.1, 1e4),
    idle_watts=st.one_of(st.just(0.0), st.floats(0, 50)),
    joules_per_request=st.one_of(st.just(0.0), st.floats(0, 10)),
    light_p95_ms=st.just(10.0),
    queueing=st.just(0.3),
)


@given(some_point, st.lists(st.tuples(numbers, numbers, st.booleans()), max_size=80))
def test_bounded_and_slow_whatever_comes(
    point: OperatingPoint, minutes: list[tuple[float, float, bool]]
) -> None:
    known, last = fresh(point), point
    for watts, rps, near in minutes:
        use = min(1.0, abs(rps) / 1e3) if math.isfinite(rps) else 0.5
        # What passes for a measurement, yet pulls as hard as it can.
        pulled = watts_at(last, use * point.capacity_rps) * (1.49 if watts > 0 else 0.51)
        known = learn(known, point, *((pulled, use * point.capacity_rps) if near else (watts, rps)))
        assert usable(known, point)
        (found,) = learned_points([point], {"25W": known})
        for figure in ("idle_watts", "joules_per_request"):
            prior, now = getattr(point, figure), getattr(found, figure)
            assert prior / BOUND * 0.999 <= now <= prior * BOUND * 1.001
            assert abs(now - getattr(last, figure)) <= SLOWEST_STEP * prior + 1e-12
        last = found


@pytest.mark.parametrize(
    "change",
    [{"s00": -1.0}, {"b0": 1e9}, {"s01": 5.0}, {"squares": float("nan")}, {"idle_watts": 5.0}],
)
def test_what_cannot_be_is_not_used(change: dict[str, float]) -> None:
    known = a_day(0.15, "25W", ENOUGH_MIN)
    assert usable(known, POINT)
    assert not usable(msgspec.structs.replace(known, s11=0.1, **change), POINT)

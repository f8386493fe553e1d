"""What a plan asks for by what devices saw themselves: enough at every rate, never less at a higher one."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.planning.demand import DemandGuard, Guarded
from tidewatt_coordinator.planning.envelopes import Envelope
from tidewatt_coordinator.planning.fresh import Fresh
from tidewatt_coordinator.planning.plan import Device, Plan, PlanState, plan
from tidewatt_coordinator.planning.residuals import FEWEST, USUAL, Residuals
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.hints import Hint, asked

KIND = (Envelope("7W", 120.0, 7.0), Envelope("15W", 220.0, 12.0), Envelope("MAXN", 330.0, 15.0))
USABLE = {one.point: one.usable_rps for one in KIND}
TERMS = Terms()


def planned_twice(need: float, fresh: Fresh, points: list[str]) -> tuple[dict[str, float], Plan]:
    """The second of two plans, and the shares of the first: what devices saw goes by those."""
    devices = [Device(f"device-{index}", KIND, at) for index, at in enumerate(points)]
    guarded = Guarded(need / 1.05, need, "by a test", fresh=fresh)
    state, _ = plan(PlanState(), devices, guarded, 99, TERMS)
    return state.shares, plan(state, devices, guarded, 100, TERMS)[1]


@given(
    st.floats(50, 3000),
    st.floats(0.3, 1.3),
    st.floats(0, 200),
    st.floats(0, 3000),
    st.lists(st.sampled_from(list(USABLE)), min_size=1, max_size=10),
)
@example(622.0, 0.5, 0.0, 932.0, ["7W", "7W"])
@example(609.0, 1.125, 4.0, 714.0, ["7W", "7W", "7W"])
@settings(max_examples=80)
def test_whatever_rate_devices_saw_they_are_asked_for_enough_and_for_no_less_at_more(
    likely: float, slope: float, base: float, rps: float, points: list[str]
) -> None:
    fresh = Fresh(((slope, base),), 0.5 * likely, 1.5 * likely, likely)
    shares, made = planned_twice(fresh.need(likely) * 1.1, fresh, points)
    capacity = 0.0
    for name, one in made.devices.items():
        hint = Hint(point=one.point, until_s=1.0, reason="by a test", enough=one.enough)
        capacity += USABLE[asked(hint, rps * shares[name])]
        ladder = [USABLE[row.point] for row in one.enough]
        assert ladder == sorted(ladder)
        assert [row.most_rps for row in one.enough] == sorted(row.most_rps for row in one.enough)
    # A switch may cost each a thirtieth of its minute, which is counted on but not what it can do at last.
    most = len(points) * 330.0
    if rps <= 1.5 * likely:
        assert capacity >= min(fresh.need(rps), most) * (1.0 - TERMS.switch_pause_s / 60.0) - 1e-6


def test_what_a_minute_brings_is_guarded_by_what_the_minute_before_told() -> None:
    guard, rates = DemandGuard(TERMS), [1000.0 + 10.0 * (minute % 7) for minute in range(120)]
    for minute, rps in enumerate(rates):
        guard.came(minute, rps)
        ready = guard.ready(minute + 2, None)
    assert ready is not None
    assert ready.fresh is not None
    assert ready.fresh.need(1060.0) >= 1060.0
    assert ready.fresh.most(ready.fresh.need(1000.0)) == pytest.approx(1000.0)
    known = guard.ready(len(rates), None)
    # Nothing is newer than what the planner knows itself.
    assert known is not None
    assert known.fresh is None


def test_a_step_that_devices_see_first_is_known_to_last() -> None:
    guard = DemandGuard(TERMS)
    for minute in range(400):
        guard.came(minute, 1000.0 if minute // 5 % 2 else 1700.0)
        ready = guard.ready(minute + 2, None)
        # 401 is the second minute of its step: devices have seen the first, the planner hasn't.
        if minute == 399:
            assert ready is not None
            assert ready.fresh is not None
            assert ready.fresh.sure
            assert not ready.sure
            assert ready.fresh.need(1700.0) == pytest.approx(1700.0 * (1.0 + TERMS.least_margin))


def test_what_is_said_of_a_minutes_spread_is_half_believed() -> None:
    known = Residuals(0.99)
    assert known.width(30.0) == 30.0
    for _ in range(FEWEST):
        known.add(1.0, 10.0)
    assert known.width(30.0) == pytest.approx(USUAL * 10.0 + (1.0 - USUAL) * 30.0)
    assert known.width(10.0) == pytest.approx(10.0)

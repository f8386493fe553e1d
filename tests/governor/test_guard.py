"""The tail guard: how thick the margin is, and when."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_governor.boards import load_profile
from tidewatt_governor.choice import planned_demand
from tidewatt_governor.decide import GovernorState, decide
from tidewatt_governor.guard import COLD, KEPT, margin
from tidewatt_governor.sample import Load
from tidewatt_wire.messages import Policy

BOARD = load_profile("orin-nano-super")
POLICY = Policy(headroom=0.02, tail_quantile=0.9, demand_window_s=300.0)


def lived(rates: list[float], policy: Policy = POLICY) -> GovernorState:
    """The state after so many whole minutes."""
    state = GovernorState(point="25W", since_s=-1e6)
    for minute, rate in enumerate(rates):
        load = Load(requests=round(60 * rate), interval_s=60.0)
        now_s = 60.0 * minute + 59.0
        state, _ = decide(state, load, policy, BOARD.points, BOARD.vendor_default, now_s)
    return state


def test_until_it_has_seen_something_it_is_careful() -> None:
    state = lived([100.0] * 20)
    assert margin(state.guard, POLICY) == COLD
    assert planned_demand(state, POLICY) == pytest.approx(115.0)


def test_smooth_traffic_needs_the_headroom_only() -> None:
    state = lived([100.0] * 200)
    assert margin(state.guard, POLICY) == POLICY.headroom
    assert planned_demand(state, POLICY) == pytest.approx(102.0)


def test_the_margin_is_the_quantile_of_the_rises() -> None:
    # One minute in eight is 40 % higher than the seven before: most windows see a rise of 40 % coming.
    rates = [140.0 if minute % 8 == 0 else 100.0 for minute in range(400)]
    assert margin(lived(rates).guard, POLICY) == pytest.approx(0.4)
    assert margin(lived(rates).guard, msgspec.structs.replace(POLICY, tail_quantile=0.5)) == pytest.approx(
        0.4
    )
    seldom = lived(rates, msgspec.structs.replace(POLICY, tail_quantile=0.5))
    assert margin(seldom.guard, POLICY) == POLICY.headroom, "half of the minutes are not followed by a rise"


def test_it_is_bounded_and_forgets() -> None:
    wild = [2.0 ** (minute % 11) for minute in range(300)]
    state = lived(wild)
    assert margin(state.guard, POLICY) == POLICY.most_headroom
    calm = lived([*wild, *[100.0] * (KEPT + 20)])
    assert len(calm.guard.rises) == KEPT
    assert margin(calm.guard, POLICY) == POLICY.headroom


def test_without_a_quantile_the_headroom_is_all() -> None:
    policy = msgspec.structs.replace(POLICY, tail_quantile=None)
    state = lived([100.0, 180.0] * 50, policy)
    assert state.guard.rises == ()
    assert planned_demand(state, policy) == pytest.approx(180.0 * 1.02)


def test_a_rise_from_next_to_nothing_is_not_endless() -> None:
    state = lived([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0] * 30)
    assert margin(state.guard, POLICY) < 0.1, "one request a second is nothing to any point"


def test_a_gap_is_not_a_fall() -> None:
    state = GovernorState(point="25W", since_s=-1e6)
    for minute in [*range(100), *range(160, 260)]:
        load = Load(requests=6000, interval_s=60.0)
        state, _ = decide(state, load, POLICY, BOARD.points, BOARD.vendor_default, 60.0 * minute + 59.0)
    assert set(state.guard.rises) == {0.0}


@given(st.lists(st.floats(0, 500), min_size=1, max_size=80), st.floats(0, 500), st.floats(0, 500))
@settings(max_examples=60)
def test_more_demand_now_never_plans_less(past: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert planned_demand(lived([*past, low]), POLICY) <= planned_demand(lived([*past, high]), POLICY) + 1e-9

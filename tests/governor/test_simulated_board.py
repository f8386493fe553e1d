"""The simulated board conserves: energy is power over time, requests are served, waiting or shed."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_governor.boards import load_profile
from tidewatt_governor.points import watts_at
from tidewatt_governor.simulate.board import advance, set_point, switched_on

BOARD = load_profile("orin-nano-super")
NAMES = [point.name for point in BOARD.points]
stretches = st.lists(
    st.tuples(st.floats(0.01, 30), st.floats(0, 600), st.none() | st.sampled_from(NAMES)), max_size=12
)


@given(stretches)
@settings(max_examples=150)
def test_conservation(days: list[tuple[float, float, str | None]]) -> None:
    state = switched_on(BOARD)
    for seconds, rps, mode in days:
        if mode:
            state = set_point(state, BOARD, mode)
        before = state
        state = advance(state, BOARD, seconds, rps)
        assert state.energy_j > before.energy_j
        assert state.requests == pytest.approx(before.requests + rps * seconds)
        assert state.clock_s == pytest.approx(before.clock_s + seconds)
        assert 0 <= state.use <= 1.0 + 1e-9
        assert all(b >= a - 1e-9 for a, b in zip(before.latency_counts, state.latency_counts, strict=True))
        assert sum(state.latency_counts) == pytest.approx(state.requests, abs=1e-6)
        most = max(point.capacity_rps for point in BOARD.points) * BOARD.physics.queue_limit_s
        assert 0 <= state.backlog <= most + 1e-6


def test_steps_do_not_matter() -> None:
    whole = advance(switched_on(BOARD), BOARD, 120.0, 150.0)
    parts = switched_on(BOARD)
    for _ in range(120):
        parts = advance(parts, BOARD, 1.0, 150.0)
    assert parts == whole


def test_it_settles_where_the_operating_point_says_plus_leakage() -> None:
    state = advance(switched_on(BOARD), BOARD, 3600.0, 200.0)
    modelled = watts_at(BOARD.point("25W"), 200.0)
    assert modelled < state.watts < modelled * 1.05


def test_switching_pauses_and_is_felt() -> None:
    calm = advance(switched_on(BOARD), BOARD, 60.0, 100.0)
    switched = advance(set_point(calm, BOARD, "15W"), BOARD, 2.0, 100.0)
    stayed = advance(calm, BOARD, 2.0, 100.0)
    assert switched.switches == 1
    assert switched.latency_sum_s > stayed.latency_sum_s
    assert set_point(calm, BOARD, "25W") == calm
    with pytest.raises(KeyError, match="no operating point '40W'"):
        set_point(calm, BOARD, "40W")


def test_overload_sheds_and_heat_throttles() -> None:
    flooded = advance(switched_on(BOARD), BOARD, 30.0, 1000.0)
    assert flooded.shed > 0
    hot = msgspec.structs.replace(switched_on(BOARD), temperature_c=99.0)
    served = 10 * 200 - advance(hot, BOARD, 10.0, 200.0).backlog
    assert served < 10 * 200

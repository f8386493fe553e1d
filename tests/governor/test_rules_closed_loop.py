"""The limits against the simulated board, which draws and warms up by laws that the governor doesn't know."""

import msgspec
import pytest

from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.decide import GovernorState, decide, moved
from tidewatt_governor.sample import Load
from tidewatt_governor.simulate.board import BoardState, advance, set_point, switched_on
from tidewatt_governor.situation import Situation
from tidewatt_wire.messages import Policy

TICK_S = 5.0


def in_sun(profile: BoardProfile, ambient_c: float) -> BoardProfile:
    return msgspec.structs.replace(
        profile, physics=msgspec.structs.replace(profile.physics, ambient_c=ambient_c)
    )


def lived(profile: BoardProfile, policy: Policy, rps: float, hours: float) -> list[BoardState]:
    """The board at the end of each tick."""
    board, states = switched_on(profile), []
    state = GovernorState(point=board.point, since_s=0.0)
    for _ in range(round(hours * 3600.0 / TICK_S)):
        before, board = board, advance(board, profile, TICK_S, rps)
        load = Load(requests=round(board.requests - before.requests), interval_s=TICK_S)
        watts = (board.energy_j - before.energy_j) / TICK_S
        situation = Situation(watts=watts, temperature_c=board.temperature_c)
        state, decision = decide(
            state, load, policy, profile.points, profile.vendor_default, board.clock_s, situation=situation
        )
        board = set_point(board, profile, decision.point)
        state = moved(state, board.point, board.clock_s)
        states.append(board)
    return states


@pytest.mark.parametrize("ambient_c", [68.0, 72.0, 78.0])
def test_derating_keeps_the_board_from_throttling(profile: BoardProfile, ambient_c: float) -> None:
    hot = in_sun(profile, ambient_c)
    limit = hot.physics.throttle_at_c
    left = lived(hot, Policy(derate_at_c=None), 250.0, 2.0)
    assert any(state.temperature_c >= limit for state in left), "left alone the hardware throttles"
    derated = lived(hot, Policy(), 250.0, 6.0)
    assert all(state.temperature_c < limit for state in derated)
    assert derated[-1].switches <= 18, "each time it is trusted later, in the end once in 72 minutes"


@pytest.mark.parametrize("budget", [8.0, 11.0, 13.0])
def test_the_budget_is_kept_on_the_mean(profile: BoardProfile, budget: float) -> None:
    """The board draws more than its model by leakage; five minutes' means obey from the first on."""
    states = lived(in_sun(profile, 50.0), Policy(watts_budget=budget), 250.0, 4.0)
    window = round(300.0 / TICK_S)
    for earlier, later in zip(states[::window], states[window::window], strict=False):
        assert (later.energy_j - earlier.energy_j) / 300.0 <= budget * 1.05
    assert states[-1].switches <= 6

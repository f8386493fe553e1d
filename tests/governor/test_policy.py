"""Which points a policy leaves: by name, by watts, and never none."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatt_governor.boards import load_profile
from tidewatt_governor.policy import allowed, most_watts
from tidewatt_wire.messages import Policy

BOARD = load_profile("orin-nano-super").points
NAMES = [point.name for point in BOARD]


def names(policy: Policy) -> list[str]:
    return [point.name for point in allowed(BOARD, policy)]


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (Policy(), NAMES),
        (Policy(max_watts=15.0), ["15W", "7W"]),
        (Policy(max_watts=16.0), ["15W", "7W"]),
        (Policy(max_watts=25.0), ["15W", "25W", "MAXN_SUPER", "7W"]),
        (Policy(max_watts=5.0), ["7W"]),
        (Policy(mode="25W"), ["25W"]),
        (Policy(mode="40W"), NAMES),
        (Policy(mode="25W", max_watts=15.0), ["15W", "7W"]),
        (Policy(allowed_points=["25W", "MAXN_SUPER"], max_watts=7.0), ["7W"]),
        (Policy(allowed_points=["40W"]), NAMES),
    ],
)
def test_what_is_left(policy: Policy, left: list[str]) -> None:
    assert names(policy) == left


policies = st.builds(
    Policy,
    mode=st.none() | st.sampled_from([*NAMES, "40W"]),
    allowed_points=st.none() | st.lists(st.sampled_from([*NAMES, "40W"]), max_size=3),
    max_watts=st.none() | st.floats(1, 40),
)


@given(policies)
def test_never_none_and_never_beyond_the_watts_if_that_can_be(policy: Policy) -> None:
    left = allowed(BOARD, policy)
    assert left
    least = min(map(most_watts, BOARD))
    if policy.max_watts is not None:
        assert all(most_watts(point) <= max(policy.max_watts, least) for point in left)


@pytest.mark.parametrize(
    ("name", "watts"), [("15W", 15), ("MODE_30W", 30), ("10W_2CORE", 10), ("MAXN", 24), ("V2W1", 24)]
)
def test_the_watts_in_a_name(name: str, watts: float) -> None:
    maxn = msgspec.structs.replace(BOARD[0], idle_watts=4.0, capacity_rps=100.0, joules_per_request=0.2)
    assert most_watts(msgspec.structs.replace(maxn, name=name)) == watts


def test_a_mode_is_known_by_its_watts_too() -> None:
    board = [msgspec.structs.replace(BOARD[0], name=name) for name in ("MODE_30W", "MODE_15W", "MAXN")]
    assert [point.name for point in allowed(board, Policy(mode="30W"))] == ["MODE_30W"]
    assert len(allowed(board, Policy(mode="3W"))) == 3

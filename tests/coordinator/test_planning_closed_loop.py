"""Ten simulated boards in closed loop, telemetry a minute old: together they need less than each alone."""

import math

import pytest
from benchmarks.governor import BOARDS
from benchmarks.joint.bound import JointBound
from benchmarks.joint.lives import COUNT, HINTED, Boards, Scene, alone, expected, planned
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.boards import parse_profile
from tidewatt_governor.points import usable_rps
from tidewatt_governor.simulate.minutes import Rules

FLAT = Rules(
    profile=parse_profile((BOARDS / "reference-flat.toml").read_text("utf-8"), name="reference-flat"),
    slo_p95_ms=60.0,
)
rates_rps = st.lists(st.floats(0.0, 500.0), min_size=COUNT, max_size=COUNT)


@example([[0.0] * (COUNT - 2) + [116.0, 2.2250738585e-313]])
@example([[0.0] * (COUNT - 2) + [2.2250738585e-313, 116.0]])
@given(st.lists(rates_rps, min_size=1, max_size=6))
@settings(max_examples=60)
def test_no_board_passes_what_it_can_take_while_another_has_room(minutes: list[list[float]]) -> None:
    boards, before = Boards(FLAT, HINTED), [0.0] * COUNT
    for minute, offered in enumerate(minutes, 10):
        switches = [board.run.switches for board in boards.boards]
        before = boards.minute(minute, before, offered, [None] * COUNT, spills=True)
        assert sum(before) == pytest.approx(sum(offered))
        most = [
            FLAT.served_rps(usable_rps(board.point, FLAT.slo_p95_ms), switched=board.run.switches > was)
            for board, was in zip(boards.boards, switches, strict=True)
        ]
        over = any(rps > room + 1e-6 for rps, room in zip(before, most, strict=True))
        roomy = [
            rps < room * (1.0 - 1e-6) and given > 0.0
            for given, rps, room in zip(offered, before, most, strict=True)
        ]
        assert not (over and any(roomy))


def test_a_surge_that_nobody_foresaw_is_taken_by_those_that_have_room() -> None:
    # Level for hours, so that the margin is thin; then a rise by a tenth each quarter of an hour.
    rates = [1500.0 + 40.0 * math.sin(minute * 1.7) for minute in range(400)]
    rates += [1500.0 * (1.1 if minute % 15 == 0 else 1.0) for minute in range(300)]
    scene = Scene(rules=FLAT, rates=rates, begins=1, first=400)
    demands = expected(scene, {}, Terms())
    left_alone = planned(scene, demands, Terms(), spills=False)
    passed_on = planned(scene, demands, Terms())
    assert passed_on.violating < left_alone.violating
    assert passed_on.violating_devices <= left_alone.violating_devices
    assert passed_on.unserved < left_alone.unserved


@pytest.mark.parametrize("kind", ["reference-flat", "reference-follows-use"])
def test_a_tide_is_served_with_less_than_each_alone_needs_and_no_promise_broken(kind: str) -> None:
    board = parse_profile((BOARDS / f"{kind}.toml").read_text("utf-8"), name=kind)
    # A tide of six hours from 600 to 3,000 requests/s, with a ripple of 2 %.
    rates = [
        1800.0 - 1200.0 * math.cos(minute * math.tau / 360.0) + 30.0 * math.sin(minute * 1.7)
        for minute in range(900)
    ]
    scene = Scene(rules=Rules(profile=board, slo_p95_ms=60.0), rates=rates, begins=1, first=180)
    together, apart = planned(scene, expected(scene, {}, Terms()), Terms()), alone(scene, {})
    best = 60.0 * sum(JointBound(board.points, COUNT).watts(rps) for rps in rates[180:])
    assert (together.violating, together.minutes) == (0, 720)
    assert best < together.energy_j < apart.energy_j
    assert together.switches / COUNT <= 2 * apart.switches / COUNT + 10

"""Ten simulated boards in closed loop, telemetry a minute old: together they need less than each alone."""

import math

import pytest
from benchmarks.governor import BOARDS
from benchmarks.joint.bound import JointBound
from benchmarks.joint.lives import COUNT, Scene, alone, expected, planned

from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.boards import parse_profile
from tidewatt_governor.simulate.minutes import Rules


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

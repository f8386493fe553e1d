"""Game days: conservation, order, cost."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from typer.testing import CliRunner

from tidewatt_coordinator.chaos.spot import Game, play, wrong_order
from tidewatt_coordinator.cli import app

CALM = Game(prestop_s=25, traffic_rps=500.0)


def test_in_the_right_order_with_spare_capacity_nothing_fails() -> None:
    found = play(CALM)
    assert wrong_order(CALM) == []
    assert found.error_rate == 0
    assert len(found.drains) == 6
    assert found.slowest_drain_s == 22  # reaction and notice
    assert found.cost_calm < found.cost < found.cost_on_demand


def test_a_process_that_stops_before_the_balancer_notices_meets_requests_at_a_closed_door() -> None:
    game = replace(CALM, prestop_s=5)
    found = play(game)
    assert "closed door" in wrong_order(game)[0]
    # From 10 s (reaction and sleep) to 22 s after the warning each such node is sent its share of 10 nodes.
    assert found.failed_draining == pytest.approx(12 * 50 * 6, rel=0.1)
    assert found.bad_seconds == 24


def test_what_is_left_must_carry_the_traffic_until_replacements_come() -> None:
    game = replace(CALM, traffic_rps=950.0)
    late = play(replace(game, start_s=300))
    assert play(game).failed_full < late.failed_full
    # The first wave: 8 nodes of 100 for 950 from 22 s to 300 s; the second leaves 6.
    assert late.failed_full == pytest.approx(278 * 150 + 278 * 350)


def test_a_warning_that_nobody_hears_is_an_outage_of_its_node() -> None:
    found = play(replace(CALM, missed=1.0))
    assert not any(one.heard for one in found.drains)
    assert found.failed_draining > 0


@settings(max_examples=30)
@given(
    waves=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 9)), max_size=4),
    traffic=st.floats(1, 2000),
    missed=st.sampled_from([0.0, 0.5, 1.0]),
    prestop=st.integers(0, 80),
    spot=st.integers(0, 9),
)
def test_every_request_is_served_or_counted_as_failed(
    waves: list[tuple[int, int]], traffic: float, missed: float, prestop: int, spot: int
) -> None:
    game = Game(
        waves=waves, traffic_rps=traffic, missed=missed, prestop_s=prestop, spot_nodes=spot, hours=0.2
    )
    found = play(game)
    assert 0 <= found.error_rate <= 1 + 1e-9
    assert 0 <= found.worst_second <= 1 + 1e-9
    assert sum(one.failed for one in found.drains) == pytest.approx(found.failed_draining)
    assert len(found.drains) <= spot + sum(count for _, count in waves)
    assert play(game) == found


def test_the_command_says_and_judges() -> None:
    good = CliRunner().invoke(app, ["chaos", "spot", "--traffic-rps", "500"])
    assert good.exit_code == 0, good.output
    assert "error rate 0.0000%" in good.output
    bad = CliRunner().invoke(app, ["chaos", "spot", "--prestop-s", "5", "--json"])
    assert bad.exit_code == 1
    assert json.loads(bad.output)["outcome"]["error_rate"] > 0.001
    assert CliRunner().invoke(app, ["chaos", "spot", "--wave", "soon"]).exit_code != 0

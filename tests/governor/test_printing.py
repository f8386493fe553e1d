"""What the simulated board prints is read by the very reader of the real ones."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_agent.load.pages import Exposition
from tidewatt_agent.load.reading import load_between
from tidewatt_agent.power import total_watts
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_governor.boards import load_profile
from tidewatt_governor.points import p95_at
from tidewatt_governor.simulate.board import advance, set_point, switched_on
from tidewatt_governor.simulate.printing import application_metrics, tegrastats_line

BOARD = load_profile("orin-nano-super")


@given(st.sampled_from([point.name for point in BOARD.points]), st.floats(0, 500), st.floats(1, 600))
@settings(max_examples=80)
def test_lines_are_read_whole(mode: str, rps: float, seconds: float) -> None:
    state = advance(set_point(switched_on(BOARD), BOARD, mode), BOARD, seconds, rps)
    sample = parse_line(tegrastats_line(state, BOARD, 1_763_700_000_000, state.watts, 9.0) + "\n")
    assert sample.unknown == ()
    total = total_watts(sample.rails)
    assert total.provenance == "measured"
    assert total.watts is not None
    assert abs(total.watts - state.watts) <= 0.0005
    assert sample.stamp == "11-21-2025 04:40:00"
    assert sample.cores is not None
    assert sum(core is not None for core in sample.cores) == BOARD.caps[mode].cores


def test_metrics_give_back_the_rate_and_the_latency() -> None:
    before = advance(switched_on(BOARD), BOARD, 60.0, 200.0)
    after = advance(before, BOARD, 60.0, 200.0)
    first, second = (
        Exposition("akidb_requests_total", "akidb_request_seconds").read(application_metrics(state))
        for state in (before, after)
    )
    load = load_between(first, second, 60.0)
    assert load.requests == 12_000
    assert load.p95_ms is not None
    assert abs(load.p95_ms - p95_at(BOARD.point("25W"), 200.0)) < 2.5  # half a bucket

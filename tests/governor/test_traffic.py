"""Traces: what is read, what is refused, and that no request is lost between steps."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatt_governor.traffic import Trace, TraceError, parse_trace, scaled, shipped_day

HEAD = "timestamp,requests_per_minute\n"


def test_the_shipped_day_is_a_whole_day() -> None:
    day = shipped_day()
    assert (len(day.rps), day.step_ms, day.end_ms - day.start_ms) == (1440, 60_000, 86_400_000)
    assert sorted(scaled(day, 300.0).rps)[1432] == pytest.approx(300.0)


@given(
    st.lists(st.floats(0, 1e6), min_size=2, max_size=30),
    st.lists(st.integers(-100_000, 2_000_000), min_size=2, max_size=8),
)
def test_pieces_hold_every_request(rates: list[float], cuts: list[int]) -> None:
    trace = Trace(0, 60_000, tuple(rates))
    cuts = sorted(cuts)
    whole = sum(seconds * rate for seconds, rate in trace.pieces(cuts[0], cuts[-1]))
    parts = sum(seconds * rate for start, end in pairwise(cuts) for seconds, rate in trace.pieces(start, end))
    assert parts == pytest.approx(whole)


def test_it_begins_anew_where_wanted() -> None:
    trace = Trace(0, 60_000, (1.0, 2.0), repeat=True)
    assert [trace.rps_at(minute * 60_000) for minute in range(-1, 5)] == [0.0, 1.0, 2.0, 1.0, 2.0, 1.0]


def test_it_reads_utc_and_offsets() -> None:
    trace = parse_trace(HEAD + "2026-01-01T01:00:00+01:00,60\n2026-01-01T00:01:00Z,120\n", name="x.csv")
    assert trace == Trace(1_767_225_600_000, 60_000, (1.0, 2.0))
    assert trace.rps_at(trace.start_ms - 1) == 0.0
    assert trace.rps_at(trace.end_ms) == 0.0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "x.csv: line 1 must be"),
        ("time,rate\n", "x.csv: line 1 must be"),
        (HEAD, "at least two rows"),
        (HEAD + "2026-01-01T00:00:00Z,1\nnonsense,2\n", "x.csv: line 3: 'nonsense,2' is not"),
        (HEAD + "2026-01-01T00:00:00Z,1\n2026-01-01T00:01:00Z\n", "line 3"),
        (HEAD + "2026-01-01T00:00:00Z,-1\n2026-01-01T00:01:00Z,1\n", "line 2: -1 requests per minute"),
        (HEAD + "2026-01-01T00:00:00Z,nan\n2026-01-01T00:01:00Z,1\n", "line 2: nan requests"),
        (
            HEAD + "2026-01-01T00:00:00Z,1\n2026-01-01T00:01:00Z,1\n2026-01-01T00:03:00Z,1\n",
            "line 4: 120 s after the line before, but the first step is 60 s",
        ),
        (HEAD + "2026-01-01T00:01:00Z,1\n2026-01-01T00:00:00Z,1\n", "line 3: -60 s"),
        (
            HEAD + "1969-12-31T00:00:00Z,1\n1969-12-31T00:01:00Z,1\n",
            "line 2: 1969-12-31T00:00:00Z is before 1970",
        ),
        (HEAD + "x" * 200_000, "not a CSV file: field larger than field limit"),
    ],
)
def test_bad_files_name_the_line(text: str, sentence: str) -> None:
    with pytest.raises(TraceError, match=sentence.replace("(", r"\(")):
        parse_trace(text, name="x.csv")


def test_an_idle_trace_can_not_be_scaled() -> None:
    with pytest.raises(TraceError, match="idle"):
        scaled(Trace(0, 60_000, (0.0, 0.0)), 300.0)

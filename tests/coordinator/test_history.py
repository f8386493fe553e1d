"""Where a history of traffic comes from: files, a real Prometheus, our own ledger."""

import gzip
import itertools
import math
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ports import free_port

from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.train.asked import Sources, read_sources
from tidewatt_coordinator.train.sources import MOST_POINTS, from_ledger, from_prometheus, pieces
from tidewatt_coordinator.train.traces import read_folder, read_series
from tidewatt_coordinator.train.windows import Series, sure
from tidewatt_governor.traffic import TraceError
from tidewatt_wire.messages import Counters, Gauges, Report

FIRST = int(datetime(2026, 11, 1, tzinfo=timezone.utc).timestamp() // 60)
MINUTES = MOST_POINTS + 400


def test_what_is_sure_until_the_next_row_is_not_learned() -> None:
    series = Series("held", 0, np.repeat([3.0, 5.0, 4.0, 6.0], 5), 5)
    known = sure(series, np.arange(4, 20))
    for origin, row in zip(range(4, 20), known, strict=True):
        left = 4 - origin % 5
        assert list(row) == [ahead <= left for ahead in range(1, 16)] + [left >= 3, False]
    assert not sure(Series("fine", 0, np.arange(20.0, dtype=np.float64)), np.arange(4, 20)).any()


def trace(folder: Path, rows: list[str], name: str = "t.csv") -> Path:
    file = folder / name
    file.write_text("\n".join(["timestamp,requests_per_minute", *rows]) + "\n")
    return file


def test_minutes_are_minutes(tmp_path: Path) -> None:
    series = read_series(trace(tmp_path, [f"2026-11-01T00:0{n}:00Z,{60 * n}" for n in range(5)]))
    assert (series.name, series.step_min, series.first) == ("t", 1, FIRST)
    assert list(series.rps) == [0, 1, 2, 3, 4]


def test_coarser_rows_hold_for_their_step_and_gaps_stay_unknown(tmp_path: Path) -> None:
    rows = ["2026-11-01T00:00Z,0", "2026-11-01T00:05Z,300", "2026-11-01T00:10Z,240", "2026-11-01T03:00Z,60"]
    file = tmp_path / "t.csv.gz"
    with gzip.open(file, "wt") as out:
        out.write("timestamp,requests_per_minute\n" + "\n".join(rows) + "\n")
    (series,) = read_folder(tmp_path)
    assert (series.name, series.step_min, len(series)) == ("t", 5, 185)
    assert list(series.rps[:15]) == [0] * 5 + [5] * 5 + [4] * 5
    assert np.isnan(series.rps[15:180]).all()
    assert list(series.rps[180:]) == [1] * 5


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "at least two rows"),
        (["2026-11-01T00:00Z,1", "x,2"], "line 3: 'x,2' is not a timestamp and a number"),
        (["2026-11-01T00:00Z,1", "2026-11-01T00:01Z,-2"], "line 3: -2 requests per minute is not a rate"),
        (["2026-11-01T00:00Z,1", "2026-11-01T00:01Z,inf"], "line 3: inf requests per minute is not a rate"),
        (["2026-11-01T00:02Z,1", "2026-11-01T00:01Z,1"], "line 3: not later than the line before"),
        (["2026-11-01T00:02Z,1", "2026-11-01T00:03Z"], "line 3: '2026-11-01T00:03Z' is not"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, rows: list[str], sentence: str) -> None:
    with pytest.raises(TraceError, match=sentence) as caught:
        read_series(trace(tmp_path, rows))
    assert str(caught.value).startswith("t.csv: ")


def test_a_folder_without_traces_says_so(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no \\*.csv or \\*.csv.gz"):
        read_folder(tmp_path)
    with pytest.raises(TraceError, match="no \\*.csv"):
        read_folder(tmp_path / "nowhere")


def test_one_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--csv, --prometheus or --ledger"):
        read_sources(Sources())
    with pytest.raises(ValueError, match="'Mars/Base' is no time zone known here"):
        read_sources(Sources(csv=tmp_path, zone="Mars/Base"))


@given(st.integers(0, 10**8), st.integers(0, 100_000))
def test_the_pieces_cover_every_minute_once(first: int, count: int) -> None:
    covered = list(pieces(first, first + count))
    assert covered[0][0] == first
    assert covered[-1][1] == first + count
    assert all(last - begin < MOST_POINTS for begin, last in covered)
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(covered))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real one that holds more minutes than it answers at once."""
    program, promtool = shutil.which("prometheus"), shutil.which("promtool")
    if program is None or promtool is None:
        pytest.skip("needs prometheus: sudo apt install --no-install-recommends prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    lines = ["# TYPE traffic gauge"]
    lines += [
        f'traffic{{site="a"}} {n % 97} {(FIRST + n) * 60}' for n in range(MINUTES) if not 500 <= n < 600
    ]
    (folder / "history").write_text("\n".join([*lines, "# EOF", ""]))
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", folder / "history", folder / "data"],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    server = subprocess.Popen(
        [
            program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=10y",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _wait_until_ready(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(f"{url}/-/ready").is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("prometheus did not get ready in 30 s")


def moment(minute: int) -> datetime:
    return datetime.fromtimestamp((FIRST + minute) * 60, timezone.utc)


def test_prometheus_is_asked_in_pieces_it_answers(prometheus: str) -> None:
    (series,) = from_prometheus(
        prometheus, 'last_over_time(traffic{site="a"}[30s])', moment(0), moment(MINUTES)
    )
    assert (series.name, series.first, len(series)) == ("site=a", FIRST - 1, MINUTES)
    expected = np.array([math.nan if 500 <= n < 600 else n % 97 for n in range(MINUTES)])
    np.testing.assert_array_equal(series.rps, expected)


def test_what_prometheus_has_against_a_query_is_passed_on(prometheus: str) -> None:
    with pytest.raises(ValueError, match="parse error"):
        from_prometheus(prometheus, "sum(", moment(0), moment(10))
    with pytest.raises(ValueError, match="no samples between 2026-11-01"):
        from_prometheus(prometheus, "nothing_of_the_kind", moment(0), moment(10))
    with pytest.raises(ValueError, match="http://127.0.0.1:9: "):
        from_prometheus("http://127.0.0.1:9", "up", moment(0), moment(10))


def test_the_ledgers_buckets_are_a_history(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    ledger = Ledger(url, 60_000)
    for minute in range(12):
        for device in ("a", "b"):
            ledger.take([_report(device, minute, 600 * minute if device == "a" else 0)])
    ledger.close()
    a, b = from_ledger(url, 60)
    assert (a.name, b.name) == ("a", "b")
    np.testing.assert_allclose(a.rps[1:-1], 10.0)
    np.testing.assert_allclose(b.rps, 0.0)
    empty = Ledger(f"sqlite:///{tmp_path}/empty.db", 60_000)
    empty.close()
    with pytest.raises(ValueError, match="no device has two buckets"):
        from_ledger(f"sqlite:///{tmp_path}/empty.db", 60)


def _report(device: str, minute: int, requests: int) -> Report:
    return Report(
        device=device, session="s", epoch="e", seq=minute + 1, at_ms=(FIRST + minute) * 60_000,
        counters=Counters(requests=requests), gauges=Gauges(),
    )  # fmt: skip


def test_no_password_is_told_with_the_address() -> None:
    """What a source says of itself is shown over REST."""
    begin, end = (datetime(2026, 11, day, tzinfo=timezone.utc) for day in (1, 2))
    with pytest.raises(ValueError, match="http://127.0.0.1:1: ") as told:
        from_prometheus("http://annabel:p%40ss@127.0.0.1:1?key=k", "up", begin, end)
    assert not any(word in str(told.value) for word in ("annabel", "ss@", "key"))

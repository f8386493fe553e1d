"""What goes out and what comes back: no redirection is followed, and nothing that unpacks is trusted."""

import contextlib
import gzip
import http.server
import io
import re
import threading
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from tests.world import HandClock

from tidewatt_coordinator.carbon import sources as carbon
from tidewatt_coordinator.carbon.intensity import CarbonError
from tidewatt_coordinator.costs import asking, files
from tidewatt_coordinator.costs.asking import Door
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.files import LONGEST_LINE, rows
from tidewatt_coordinator.levers.driver import Unsure
from tidewatt_coordinator.levers.edge import cloudfront_logs
from tidewatt_coordinator.levers.kubernetes import client
from tidewatt_coordinator.outward import MIB
from tidewatt_coordinator.sla import evidence
from tidewatt_coordinator.sla.evidence import Evidence, EvidenceError
from tidewatt_coordinator.steering import readings
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_coordinator.train import sources

ROOT = Path(__file__).parents[2]
PRODUCT = ("agent/tidewatt_agent", "coordinator/tidewatt_coordinator", "router/tidewatt_router", "wire")
#: What follows redirections, or unless told not to; what takes any certificate.
FOLLOWS = re.compile(
    r"follow_redirects\s*=\s*True|verify\s*=\s*False"
    r"|^\s*(?:import|from) (?:requests|aiohttp|urllib3|urllib\.request)\b",
    re.MULTILINE,
)
#: What runs what it is given.
RUNS = re.compile(
    r"(?<![\w.])(?:eval|exec|pickle\.loads?|marshal\.loads?|os\.system)\(|shell\s*=\s*True", re.MULTILINE
)


def lines_with(pattern: "re.Pattern[str]") -> list[str]:
    files = [file for folder in PRODUCT for file in sorted((ROOT / folder).rglob("*.py"))]
    texts = {file: file.read_text("utf-8") for file in files if "build" not in file.parts}
    assert len(texts) > 400
    return [f"{file.name}: {found[0]}" for file, text in texts.items() for found in pattern.finditer(text)]


def test_no_redirection_is_followed_and_no_certificate_taken_unseen() -> None:
    """A configured URL that is made to point at a metadata address must lead nowhere."""
    assert lines_with(FOLLOWS) == []


def test_nothing_is_unpickled_and_no_shell_asked() -> None:
    assert lines_with(RUNS) == []


class Answering:
    """An HTTP server: a redirection where it has a location, else the secret that nobody should read.

    With `packed` an answer in gzip: its beginning, and a block that is said for as long as somebody listens.
    """

    def __init__(self) -> None:
        self.asked, self.location = 0, ""
        self.packed: tuple[bytes, bytes] | None = None
        there = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                there.asked += 1
                if there.packed:
                    self._go_on()
                    return
                self.send_response(302 if there.location else 200)
                self.send_header("Location", there.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def _go_on(self) -> None:
                self.send_response(200)
                self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                beginning, block = there.packed or (b"", b"")
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(beginning)
                    while True:
                        self.wfile.write(block)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_a_prometheus_that_sends_us_elsewhere_is_not_followed() -> None:
    metadata, prometheus = Answering(), Answering()
    prometheus.location = metadata.url
    try:
        with pytest.raises(EvidenceError):
            Evidence(prometheus.url).ask("up", 0, 60_000, 60.0)
        door = Door(prometheus.url, "")
        with pytest.raises(CostError, match="answers 302"):
            door.get("/api/v1/query_range", {"query": "up"})
        door.close()
    finally:
        prometheus.stop()
        metadata.stop()
    assert prometheus.asked == 2
    assert metadata.asked == 0


@pytest.fixture
def endless() -> Iterator[Answering]:
    """One whose answers are small on the wire and never end."""
    server = Answering()
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    beginning = packing.compress(b" ") + packing.flush(zlib.Z_FULL_FLUSH)
    server.packed = beginning, packing.compress(b" " * MIB) + packing.flush(zlib.Z_FULL_FLUSH)
    yield server
    server.stop()


def test_an_answer_without_an_end_is_refused_in_a_sentence(
    endless: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is asked, as the configuration says; the sentence names him and the limit."""
    told = rf"127\.0\.0\.1:{endless.url.rpartition(':')[2]} answers with more than 1 MiB"
    for module in (asking, evidence, sources, carbon, client, readings):
        monkeypatch.setattr(module, "LARGEST_BYTES" if module is asking else "MOST_BYTES", MIB)
    with pytest.raises(EvidenceError, match=told):
        Evidence(endless.url).ask("up", 0, 60_000, 60.0)
    door = Door(endless.url, "")
    with pytest.raises(CostError, match=told):
        door.get("/api/v1/query_range", {"query": "up"})
    door.close()
    day = datetime(2026, 11, 1, tzinfo=timezone.utc)
    with pytest.raises(ValueError, match=told):
        sources.from_prometheus(endless.url, "up", day, day + timedelta(hours=1))
    with httpx.Client(base_url=endless.url) as asked:
        with pytest.raises(CarbonError, match=told):
            list(carbon.ElectricityMaps(asked, endless.url, "key", 0).intensities("DE", 0, 3_600_000))
        with pytest.raises(Unsure, match=told):
            client.Kubernetes(asked, "tidewatt").find("/api/v1/pods")


async def test_a_reading_without_an_end_is_refused_in_a_sentence(endless: Answering) -> None:
    asked = readings.Readings(Dispatch(prometheus=endless.url), HandClock(0))
    async with httpx.AsyncClient() as web:
        await asked._ask(web, "up")
    assert re.search(r"^127\.0\.0\.1:\d+ answers with more than 4 MiB$", asked.failing["up"])


def bomb(megabytes: int) -> bytes:
    """A line of so many MB, packed a thousand times smaller."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as file:
        for _ in range(megabytes):
            file.write(b"0" * 1024 * 1024)
    return packed.getvalue()


def test_a_packed_export_of_one_endless_line(tmp_path: Path) -> None:
    file = tmp_path / "focus.csv.gz"
    file.write_bytes(bomb(20))
    assert file.stat().st_size < 30_000
    with pytest.raises(CostError, match=f"a line of more than {LONGEST_LINE} characters"):
        list(rows(file))


@pytest.mark.parametrize(
    "column", ["repeat('x', 400000) AS BilledCost", "MAP {'a': repeat('x', 400000)} AS Tags"]
)
def test_a_parquet_file_of_one_long_text_many_times(column: str, tmp_path: Path) -> None:
    """A kilobyte that is a gigabyte of rows: it is told so, and the process that reads it is another."""
    file = tmp_path / "focus.parquet"
    connection = duckdb.connect()
    connection.execute(f"COPY (SELECT {column} FROM range(3000)) TO '{file}' (FORMAT parquet, CODEC zstd)")  # noqa: S608 - ours
    connection.close()
    assert file.stat().st_size < 3000
    with pytest.raises(CostError, match=r"focus\.parquet: (a row of more than 65536 bytes|.*[Mm]emory)"):
        list(rows(file))


def test_a_file_of_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_ROWS", 5000)
    packed, parquet = tmp_path / "focus.csv.gz", tmp_path / "focus.parquet"
    packed.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 5001))
    connection = duckdb.connect()
    connection.execute(f"COPY (SELECT 'x' AS a FROM range(5001)) TO '{parquet}' (FORMAT parquet)")  # noqa: S608 - ours
    connection.close()
    for file in (packed, parquet):
        with pytest.raises(CostError, match=f"{file.name}: more than 5000 rows"):
            list(rows(file))


def test_a_packed_log_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudfront_logs, "MOST_BYTES", 1024 * 1024)
    body: Any = io.BytesIO(bomb(4))
    with pytest.raises(OSError, match="unpacks to more than 1048576 bytes"):
        cloudfront_logs.unpacked(body)
    assert cloudfront_logs.unpacked(io.BytesIO(gzip.compress(b"a line"))) == b"a line"
    with pytest.raises(OSError, match="Not a gzipped file"):
        cloudfront_logs.unpacked(io.BytesIO(b"no gzip"))

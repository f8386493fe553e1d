"""What goes out and what comes back: no redirection is followed, and nothing that unpacks is trusted."""

import gzip
import http.server
import io
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from tidewatt_coordinator.costs.asking import Door
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.files import LONGEST_LINE, rows
from tidewatt_coordinator.levers.edge import cloudfront_logs
from tidewatt_coordinator.sla.evidence import Evidence, EvidenceError

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
    """An HTTP server: a redirection where it has a location, else the secret that nobody should read."""

    def __init__(self) -> None:
        self.asked, self.location = 0, ""
        there = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                there.asked += 1
                self.send_response(302 if there.location else 200)
                self.send_header("Location", there.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

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


def test_a_packed_log_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudfront_logs, "MOST_BYTES", 1024 * 1024)
    body: Any = io.BytesIO(bomb(4))
    with pytest.raises(OSError, match="unpacks to more than 1048576 bytes"):
        cloudfront_logs.unpacked(body)
    assert cloudfront_logs.unpacked(io.BytesIO(gzip.compress(b"a line"))) == b"a line"
    with pytest.raises(OSError, match="Not a gzipped file"):
        cloudfront_logs.unpacked(io.BytesIO(b"no gzip"))

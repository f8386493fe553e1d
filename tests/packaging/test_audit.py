"""The audit of what is locked: a real pip-audit, before a service that answers, lies idle or fails."""

import datetime as dt
import json
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
#: A folder named packaging can't be imported from: that is a library's name.
AUDIT = SimpleNamespace(**runpy.run_path(str(ROOT / "packaging/audit.py")))
LOCK = f"""first==1.0 \\
    --hash=sha256:{"0" * 64}
second==2.0 \\
    --hash=sha256:{"1" * 64} \\
    --hash=sha256:{"2" * 64}
"""
HOLE = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "aliases": ["CVE-2026-1"],
    "summary": "it leaks",
    "affected": [
        {
            "package": {"name": "second", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
        }
    ],
}


class Osv(ThreadingHTTPServer):
    """Knows the holes that it was told of, by package; fails on command."""

    def __init__(self) -> None:
        self.holes: dict[str, object] = {}
        self.status = 200
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/query"


class _Answer(BaseHTTPRequestHandler):
    server: Osv

    def do_POST(self) -> None:
        name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        self.server.asked.append(name)
        hole = self.server.holes.get(name)
        body = json.dumps({"vulns": [hole]} if hole else {}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def osv() -> Iterator[Osv]:
    server = Osv()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def audit(folder: Path, osv: Osv, *more: str, listed: str = "") -> tuple[int, str]:
    """How it ended, and what it said."""
    (folder / "lock.txt").write_text(LOCK)
    (folder / "known.toml").write_text(listed)
    program = [sys.executable, str(ROOT / "packaging/audit.py")]
    command = [*program, "--osv", osv.url, "--listed", str(folder / "known.toml"), *more, "lock.txt"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_every_version_is_asked_about_and_a_hole_fails_until_it_is_listed(tmp_path: Path, osv: Osv) -> None:
    osv.holes["second"] = HOLE
    ended, said = audit(tmp_path, osv, "--if-answered")
    assert ended == 1
    assert said.startswith("audit: second 2.0: CVE-2026-1 GHSA-aaaa-bbbb-cccc, fixed in 2.1\n")
    assert set(osv.asked) == {"first", "second"}
    entry = (
        '[[hole]]\npackage = "second"\nid = "GHSA-aaaa-bbbb-cccc"\nwhy = "not reached"\nuntil = 9999-01-01'
    )
    ended, said = audit(tmp_path, osv, listed=entry)
    assert ended == 0
    assert "listed until 9999-01-01: not reached" in said


def test_no_answer_is_said_and_is_no_pass(tmp_path: Path, osv: Osv) -> None:
    osv.status = 503
    line = "audit: NOT DONE, the service didn't answer; known holes were not looked up\n"
    assert audit(tmp_path, osv) == (2, line)
    assert audit(tmp_path, osv, "--if-answered") == (0, line)
    assert set(osv.asked) == {"first"}  # a silent service is asked once


def test_a_version_that_the_service_does_not_know_is_not_one_without_holes() -> None:
    known = {"name": "first", "version": "1.0", "vulns": []}
    unknown = {"name": "second", "skip_reason": "Dependency not found"}
    assert AUDIT.holes(json.dumps({"dependencies": [known]})) == []
    for told in (json.dumps({"dependencies": [known, unknown]}), "", "[]", "{}"):
        with pytest.raises(AUDIT.Unanswered):
            AUDIT.holes(told)


def test_what_is_listed_ends_and_is_of_one_package() -> None:
    hole = AUDIT.Hole("second", "2.0", ("GHSA-1", "CVE-1"), ())
    until = dt.date(2026, 11, 22)
    mine, others = AUDIT.Listed("second", "CVE-1", "why", until), AUDIT.Listed("first", "CVE-1", "why", until)
    assert AUDIT.judge([hole], [mine], until) == (
        [],
        ["second 2.0: GHSA-1 CVE-1, no version without it; listed until 2026-11-22: why"],
    )
    wrong, _ = AUDIT.judge([hole], [mine], until + dt.timedelta(days=1))
    assert wrong == [
        "second 2.0: GHSA-1 CVE-1, no version without it; it was listed until 2026-11-22, look again"
    ]
    wrong, said = AUDIT.judge([hole], [others], until)
    assert len(wrong) == 1
    assert said == ["first: CVE-1 is listed and not found any more"]


def test_the_list_that_is_shipped_can_be_read() -> None:
    for one in AUDIT.listed(AUDIT.LISTED.read_text("utf-8")):
        assert one.why
        assert isinstance(one.until, dt.date)

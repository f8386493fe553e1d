"""`tidewatt fleet`: the running coordinator's devices, in a table, alone, and live in a terminal."""

import fcntl
import io
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from tests import costing
from tests.costing import Source
from tests.ports import free_port
from tests.secured import Pki
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config, Coordinator
from tidewatt_coordinator.config import Ledger as LedgerConfig
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.rollout.roster import Known, Roster
from tidewatt_coordinator.watching.door import Device, DoorError, FleetNow
from tidewatt_coordinator.watching.top import screen
from tidewatt_coordinator.watching.view import SORTS, ordered
from tidewatt_coordinator.web import models
from tidewatt_wire.documents import to_toml

HOT = Device(device="hot", status="online", watts=9.5, p95_ms=12.25, temperature_c=91.0, requests_rps=100.0)
COOL = Device(device="cool", status="online", watts=14.0, p95_ms=8.0, temperature_c=50.0)
GONE = Device(device="gone", status="lost", labels={"site": "rome"})


@pytest.fixture
def source() -> Iterator[Source]:
    with costing.source() as running:
        running.answers["/v1/fleet"] = {
            "fleet": "f", "now_ms": 1, "online": 2, "watts": 23.5, "a key of tomorrow": 1,
            "devices": [_plain(one) for one in (COOL, HOT, GONE)],
        }  # fmt: skip
        yield running


def _plain(one: Device) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def fleet(source: Source, *words: str) -> str:
    done = CliRunner().invoke(app, ["fleet", *words, "--url", source.url])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_problems_come_first_and_what_is_not_known_last(source: Source) -> None:
    assert [one["device"] for one in json.loads(fleet(source, "ls", "--json"))] == ["hot", "gone", "cool"]
    by_watts = json.loads(fleet(source, "ls", "--json", "--sort", "watts"))
    assert [one["device"] for one in by_watts] == ["cool", "hot", "gone"]
    shown = fleet(source, "ls", "--site", "rome")
    assert "gone" in shown
    assert "1 of 3 devices" in shown
    assert "hot" not in shown
    assert "not known" in fleet(source, "show", "gone")
    for words, why in ((("show", "x"), "no device 'x'"), (("ls", "--sort", "x"), "--sort 'x' is none of")):
        with pytest.raises(ValueError, match=why):
            fleet(source, *words)


def test_a_key_comes_from_a_file_and_its_lack_is_said(source: Source, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("tw_1\n")
    fleet(source, "ls", "--key-file", str(tmp_path / "key"))
    assert source.authorizations == ["Bearer tw_1"]
    source.status = 401
    with pytest.raises(DoorError, match="--key-file"):
        fleet(source, "ls")


def test_a_private_ca_is_trusted_when_it_is_named(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pki.certificate("server", "127.0.0.1")
    source = Source(tmp_path / "127.0.0.1.pem")
    source.answers["/v1/fleet"] = {"fleet": "f", "now_ms": 1, "devices": [_plain(HOT)]}
    try:
        assert "hot" in fleet(source, "ls", "--ca", pki.ca)
        with pytest.raises(DoorError, match=r"certificate verify failed.*--ca"):
            fleet(source, "ls")
    finally:
        source.stop()
        pki.ledger.close()


def test_without_a_coordinator_the_database_says_what_was_known(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    ledger = Ledger(url, 300_000)
    Roster(ledger.engine, "default").write([Known(device="a", status="asleep", labels={"site": "rome"})], 1)
    ledger.close()
    file = tmp_path / "c.toml"
    listen = Coordinator(listen=f"127.0.0.1:{free_port()}")
    file.write_text(to_toml(Config(coordinator=listen, ledger=LedgerConfig(url=url))))
    done = CliRunner().invoke(app, ["fleet", "ls", "--config", str(file), "--json"])
    assert "this is what it knew last" in done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["device"], found["status"], found["watts"]) == ("a", "asleep", None)


def test_the_command_reads_what_the_coordinator_writes() -> None:
    ours, theirs = set(Device.__struct_fields__), set(models.DeviceNow.model_fields)
    assert ours <= theirs
    assert set(FleetNow.__struct_fields__) <= set(models.FleetNow.model_fields)


@pytest.mark.parametrize("key", SORTS)
def test_the_screen_fits_into_80_columns_and_24_lines(key: str) -> None:
    devices = [
        Device(device=f"a-long-name-of-a-device-{n}", status="online", labels={"site": "a-long-site"},
               point="MAXN_SUPER-and-more", watts=1234.5, requests_rps=99_999.5, p95_ms=12_345.6,
               temperature_c=101.0)
        for n in range(500)
    ]  # fmt: skip
    assert sorted(one.device for one in ordered(devices, key)) == sorted(one.device for one in devices)
    out = io.StringIO()
    Console(file=out, width=80, height=24, force_terminal=False).print(
        screen(FleetNow(fleet="f", now_ms=1, devices=devices), key, 80, 24)
    )
    lines = out.getvalue().splitlines()
    assert len(lines) <= 24
    assert all("101" in line for line in lines if line.startswith("a-long"))
    assert any("q quit" in line for line in lines)


def test_top_in_a_terminal(source: Source) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    program = [sys.executable, "-m", "tidewatt_coordinator", "fleet", "top", "--url", source.url]
    environment = os.environ | {"TERM": "xterm"}
    with subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            seen = _until(ours, lambda text: "q quit" in text and "gone" in text)
            assert seen.index("hot") < seen.index("cool")
            os.write(ours, b"w")
            _until(ours, lambda text: -1 < text.rfind("cool") < text.rfind("hot"))
            os.write(ours, b"q")
            # The rest is read, else the program would wait for somebody to take it.
            _until(ours, lambda _text: process.poll() is not None)
            assert process.wait(20) == 0
        finally:
            process.kill()
            os.close(ours)


def _until(terminal: int, seen: Callable[[str], bool]) -> str:
    text, deadline = "", time.monotonic() + 30
    while not seen(text):
        assert time.monotonic() < deadline, text
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            try:
                text += os.read(terminal, 65_536).decode("utf-8", "replace")
            except OSError:  # the program has ended
                ready = []
    return text

"""A coordinator with a few devices that have reported, for what is looked up over REST."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from tests.ports import free_port

from tidewatt_coordinator.access.gate import now_ms
from tidewatt_coordinator.app import Coordinator
from tidewatt_coordinator.config import Config, Ledger
from tidewatt_coordinator.web.settings import Rest
from tidewatt_link.connection import Connection
from tidewatt_wire.clock import Timebase
from tidewatt_wire.messages import Birth, Counters, Gauges, Report

NOW_MS = 1_763_700_000_000 // 60_000 * 60_000
MINUTE_MS = 60_000
DEVICES = 7
#: Real seconds that a server may take to come up, and to go.
PATIENCE_S = 30.0


@contextlib.contextmanager
def office(folder: Path, requests_per_second: float = 0.0) -> Iterator[Coordinator]:
    """Its clock stands still; seven devices of two sites have reported for ten minutes."""
    config = Config(
        ledger=Ledger(url=f"sqlite:///{folder / 'l.db'}", bucket_s=60),
        rest=Rest(requests_per_second=requests_per_second),
        clock=Timebase(NOW_MS, 0.0, 1e-9),
    )
    coordinator = Coordinator(config, Connection("mqtt://127.0.0.1:1"), None)
    for number in range(DEVICES):
        _speak(coordinator, f"roof-{number}", "x" if number % 2 else "y")
    try:
        yield coordinator
    finally:
        coordinator.ledger.close()


@contextlib.contextmanager
def served(coordinator: Coordinator) -> Iterator[str]:
    """Its REST API on a real port; the address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(coordinator.web, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ends_s = time.monotonic() + PATIENCE_S
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < ends_s
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


def admin_key(coordinator: Coordinator) -> str:
    """The text of a new key that may do all."""
    return coordinator.entry.keys.make("admin", now_ms())[1]


def _speak(coordinator: Coordinator, name: str, site: str) -> None:
    birth = Birth(
        device=name,
        session="s",
        epoch="e",
        at_ms=NOW_MS,
        version="0",
        board="b",
        control="enforce",
        labels={"site": site},
    )
    coordinator.fleet.born(birth, NOW_MS)
    reports = [
        Report(
            device=name,
            session="s",
            epoch="e",
            seq=minute,
            at_ms=NOW_MS - (10 - minute) * MINUTE_MS,
            counters=Counters(
                energy_mj=minute * 480_000,
                requests=minute * 6000,
                violating_ms=minute * 6000,
                mode_ms={"15W": min(5, minute) * MINUTE_MS, "7W": max(0, minute - 5) * MINUTE_MS},
            ),
            gauges=Gauges(point="15W", watts=8.0, leases=["15W: a camera needs it"]),
        )
        for minute in range(11)
    ]
    coordinator.fleet.reported(reports[-1], NOW_MS)
    coordinator.ledger.take(reports)

"""All of it as real processes: PostgreSQL, Mosquitto with TLS and ACL, coordinators, boards, bad lines."""

import contextlib
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import DatabaseError
from tests.chaos.boards import ActuatorUnit, Board
from tests.chaos.lines import Line, Lines
from tests.chaos.load import Applications
from tests.chaos.mounts import let_go, mounted
from tests.chaos.units import Unit
from tests.databases import Postgres, postgres_programs
from tests.fleets import Fleet
from tests.processes import Process
from tests.secured import Pki, SecuredMosquitto
from tests.watchers import FLEET, Watcher
from typer.testing import CliRunner

from tidewatt_agent.counterfile import Kept
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.tables import lease
from tidewatt_link.connection import Connection
from tidewatt_wire.messages import Counters

SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin:/bin"
COORDINATORS = ("east", "west")
DEVICES = ("d1", "d2", "d3")
LOOK_S = 0.02
#: How long a busy machine may take to come to rest.
PATIENCE_S = 300.0


class NotInTime(AssertionError):
    """What was to happen did not."""


class Site(Fleet):
    """Everything, in one folder; `close` ends it all."""

    speed = 10.0

    def __init__(self, folder: Path, replicas: str = "share") -> None:
        programs, mosquitto = postgres_programs(), shutil.which("mosquitto", path=SEARCH_PATH)
        if programs is None or mosquitto is None:
            raise RuntimeError("needs postgresql and mosquitto: make system-packages")
        self._replicas = replicas
        self.database = Postgres(programs, folder / "postgres", lasting=True)
        self.lines = Lines()
        self.applications = Applications()
        self.units: dict[str, Unit] = {}
        self.boards: dict[str, Board] = {}
        self.kept: dict[tuple[str, str], tuple[int, ...]] = {}
        """The greatest counters that a device's own file was seen to hold, by device and epoch."""
        self.filed: set[tuple[str, str]] = set()
        """Those that such a file held; one that began on a bad disk may never come to be in it."""
        self.off_s: dict[str, float] = {}
        """How wrong devices' clocks are, in their own seconds."""
        self.moments: Counter[str] = Counter()
        """Of those that faults waited for, how many were seen, and how many were not."""
        self._due: list[tuple[float, Callable[[], None]]] = []
        try:
            self.database.start()
            pki = Pki(folder / "pki")
            secured = SecuredMosquitto(mosquitto, pki, folder)
            secured.start()
            self.secured = secured
            own = self._line("site.database", self.database.port).port
            url = self.database.database("chaos").replace(f":{self.database.port}/", f":{own}/")
            super().__init__(secured, folder, folder / "board", url)
            self._begin()
        except BaseException:
            self.close()
            raise

    def _watch(self) -> Watcher:
        tls = Connection(self.secured.url, self.secured.pki.shown("coordinator")).tls()
        return Watcher(self.secured.address, self.key, tls)

    def _begin(self) -> None:
        for name in COORDINATORS:
            self._line(f"{name}.broker", self.secured.port)
            self._line(f"{name}.database", self.database.port)
            self.units[name] = Unit(name, lambda name=name: self.coordinator(name))  # type: ignore[misc]
        self._coordinator_file("operator", self.secured.url, self.url)
        self.disks = all(map(mounted, map(self.state, DEVICES)))
        for device in DEVICES:
            self._line(f"{device}.broker", self.secured.port)
            board = self.boards[device] = Board(self.folder / f"{device}.board")
            self.applications.rate(device, 60.0 * self.speed)
            self.units[f"{device}.actuator"] = Unit(
                f"{device}.actuator",
                lambda board=board: ActuatorUnit(board.hands),  # type: ignore[misc]
            )
            self.units[f"{device}.agent"] = Unit(
                f"{device}.agent",
                lambda device=device: self.agent(device),  # type: ignore[misc]
            )
        for unit in self.units.values():
            unit.start()

    def serve_from(self, database: Postgres) -> None:
        """The database is that one now."""
        self.database = database
        for name, line in self.lines.by_name.items():
            if name.endswith(".database"):
                line.upstream = database.port
                self.lines.cut(line)

    def _line(self, name: str, port: int) -> Line:
        return self.lines.new(name, port)

    def _coordinator_file(self, name: str, broker: str, database: str) -> dict[str, Any]:
        shown = self.secured.pki.shown("coordinator")
        more = {
            "broker": {"url": broker, "ca": shown.ca, "certificate": shown.certificate},
            "ledger": {"url": database},
        }
        self._write(f"{name}.toml", {**self._document(name, self._replicas), **more})
        return more

    def coordinator(self, name: str = "east", *, replicas: str = "", **more: Any) -> Process:
        lines = self.lines.by_name
        broker = f"mqtts://127.0.0.1:{lines[f'{name}.broker'].port}"
        own, theirs = lines["site.database"].port, lines[f"{name}.database"].port
        at = self.url.replace(f":{own}/", f":{theirs}/")
        self._coordinator_file(name, broker, at)
        return self._start(
            name, "tidewatt_coordinator", ["serve", "--config", str(self.folder / f"{name}.toml")]
        )

    def agent(
        self,
        device: str,
        role: str = "plain",
        load: str = "",
        broker: str = "",
        before: Sequence[str] = (),
    ) -> Process:
        state = self.state(device)
        state.mkdir(parents=True, exist_ok=True)
        shown = self.secured.pki.shown(device)
        url = broker or f"mqtts://127.0.0.1:{self.lines.by_name[f'{device}.broker'].port}"
        clock = {
            **self._clock,
            "origin_unix_ms": self._clock["origin_unix_ms"] + round(self.off_s.get(device, 0.0) * 1000),
        }
        document = {
            "agent": {
                "fleet": FLEET, "device": device, "control": "enforce", "report_s": 10.0, "tick_s": 5.0,
                "gap_s": 60.0,
            },
            "labels": {"role": role},
            "board": {"actuator_socket": str(self.boards[device].hands.path)},
            "reader": {"root": str(self.boards[device].hands.root), "interval_s": 5.0},
            "tegrastats": {"command": ["no-such-program"]},
            "link": {
                "broker": url, "ca": shown.ca, "certificate": shown.certificate, "spread_s": 1.0,
                "policy_keys": [self.key.trusted.public],
            },
            "spool": {"replay_per_s": 500.0},
            "load": [{"url": self.applications.url(device), "histogram": ""}],
            "metrics": {"listen": f"127.0.0.1:{self.port(device)}"},
            "state": {"folder": str(state), "every_s": 5.0},
            "journal": {"path": str(self.folder / device / "journal.jsonl")},
            "clock": clock,
        }  # fmt: skip
        config = self._write(f"{device}.toml", document)
        return self._start(device, "tidewatt_agent", ["run", "--config", str(config)], before)

    def state(self, device: str) -> Path:
        """Where an agent keeps what outlives it."""
        return self.folder / device / "state"

    def wait(self, seconds: float) -> None:
        """Let it all go on for so long."""
        ends_s = time.monotonic() + seconds
        while True:
            self.tend()
            if time.monotonic() >= ends_s:
                return
            time.sleep(LOOK_S)

    def until(self, true: Callable[[], Any], what: str, longest_s: float = PATIENCE_S) -> Any:
        """Go on until `true()`; a database that is away counts as no. NotInTime names `what`."""
        ends_s = time.monotonic() + longest_s
        while True:
            self.tend()
            with contextlib.suppress(DatabaseError):
                if found := true():
                    return found
            if time.monotonic() > ends_s:
                raise NotInTime(f"waited {longest_s:.0f} s in vain for {what}")
            time.sleep(LOOK_S)

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Have it done while waiting, so many seconds from now."""
        self._due.append((time.monotonic() + seconds, work))

    def tend(self) -> None:
        """What goes on by the way: processes are kept up, files are looked at, what is due is done."""
        for unit in self.units.values():
            unit.tend()
        for device in DEVICES:
            self._look(device)
        now_s = time.monotonic()
        for one in sorted(self._due, key=lambda one: one[0]):
            if one[0] <= now_s and one in self._due:
                self._due.remove(one)
                one[1]()

    def _look(self, device: str) -> None:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            kept = msgspec.json.decode((self.state(device) / "counters.json").read_bytes(), type=Kept)
            self.counts(device, kept.epoch, kept.counters)
            self.filed.add((device, kept.epoch))

    def counts(self, device: str, epoch: str, counters: Counters) -> None:
        """A device was seen to have counted this."""
        values = tuple(getattr(counters, name) for name in COUNTERS)
        before = self.kept.get((device, epoch), (0,) * len(values))
        self.kept[device, epoch] = tuple(map(max, before, values))

    def holder(self) -> str:
        """The coordinator that the database's lease names and that runs; empty if none."""
        with self.ledger.engine.connect() as connection:
            row = connection.execute(select(lease.c.holder)).first()
        units = [self.units[name] for name in COORDINATORS if name in self.units]
        pids = {str(unit.process.pid): unit.name for unit in units if unit.process}
        return pids.get(row[0].rpartition(":")[2], "") if row else ""

    def fencing(self) -> int:
        """How often the lease was taken."""
        with self.ledger.engine.connect() as connection:
            return int(connection.execute(select(lease.c.fencing)).scalar() or 0)

    def order(self, promise_ms: float) -> bool:
        """Put a policy document in force; whether the database took it."""
        path = self.document(promise_ms)
        command = ["policy", "apply", path, "--now", "--config", str(self.folder / "operator.toml")]
        level = logging.root.manager.disable
        done = CliRunner().invoke(app, command)
        logging.disable(level)
        return done.exit_code == 0

    def close(self) -> None:
        for unit in self.units.values():
            unit.held = True
            with contextlib.suppress(ProcessLookupError):
                unit.kill()
        for process in getattr(self, "_started", []):
            if process.running:
                process.kill()
        for board in self.boards.values():
            board.close()
        if hasattr(self, "watcher"):
            self.watcher.close()
        if hasattr(self, "ledger"):
            self.ledger.close()
        if hasattr(self, "secured"):
            self.secured.stop()
            self.secured.pki.ledger.close()
        self.database.stop()
        for device in DEVICES if getattr(self, "disks", False) else ():
            let_go(self.state(device))
        self.applications.close()
        self.lines.close()

"""A small fleet of real processes: broker, coordinators, agents on a recorded board.

Virtual time runs SPEED times as fast, the same for all of them. Nothing here sleeps: it looks until it sees.
"""

import contextlib
import json
import signal
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.actuators import wait_for
from tests.ports import free_port
from tests.processes import Process
from tests.secured import SecuredMosquitto
from tests.watchers import FLEET, Watcher
from tests.world import Mosquitto, laid_out
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.rollout.journal import Event, Journal
from tidewatt_coordinator.rollout.standing import Standing
from tidewatt_wire.documents import to_toml

#: Virtual seconds per real second; an agent then ticks every three of them.
SPEED = 30.0
#: A day in 2026, where virtual time begins.
DAY_MS = 1_795_000_000_000
#: Virtual seconds without a report after which a device counts as silent: a real one.
STALE_S = 30.0
LEASE_S = 2.0


@contextlib.contextmanager
def watching(fleet: "Fleet") -> Iterator[Watcher]:
    """Somebody who has just come."""
    watcher = Watcher(fleet.broker.address, fleet.key)
    try:
        yield watcher
    finally:
        watcher.close()


class Fleet:
    """The broker is the test's; everything else is started here and ends with the test."""

    speed = SPEED

    def __init__(
        self, broker: Mosquitto | SecuredMosquitto, folder: Path, board: Path, url: str = ""
    ) -> None:
        self.broker, self.folder, self._board = broker, folder, board
        self.key = KeyFolder(folder / "keys").new()
        self.url = url or f"sqlite:///{folder / 'ledger.db'}"
        self.ledger = Ledger(self.url, 300_000)
        self.journal = Journal(self.ledger.engine, FLEET)
        self.watcher = self._watch()
        self._clock = {
            "origin_unix_ms": DAY_MS,
            "origin_monotonic_s": time.monotonic(),
            "speed": self.speed,
        }
        self._origin_s = time.monotonic()
        self._ports: dict[str, int] = {}
        self._started: list[Process] = []

    @property
    def now_ms(self) -> int:
        """The fleet's time."""
        return DAY_MS + round((time.monotonic() - self._origin_s) * self.speed * 1000)

    def _watch(self) -> Watcher:
        """Who hears all."""
        return Watcher(self.broker.address, self.key)

    def port(self, name: str) -> int:
        """Of a coordinator's or an agent's page, also before it runs."""
        return self._ports.setdefault(name, free_port())

    def coordinator(self, name: str = "east", *, replicas: str = "all", **more: Any) -> Process:
        config = self._write(f"{name}.toml", {**self._document(name, replicas), **more})
        return self._start(name, "tidewatt_coordinator", ["serve", "--config", str(config)])

    def _document(self, name: str, replicas: str) -> dict[str, Any]:
        """A coordinator's configuration."""
        return {
            "coordinator": {
                "fleet": FLEET,
                "name": name,
                "listen": f"127.0.0.1:{self.port(name)}",
                "lease_s": LEASE_S,
                "replicas": replicas,
            },
            "access": {"anonymous": "viewer"},
            "broker": {"url": self.broker.url},
            "ledger": {"url": self.url},
            "dispatch": {"stale_after_s": STALE_S},
            "policy_keys": {"folder": str(self.folder / "keys")},
            "models": {"folder": str(self.folder / "models")},
            "policy": [{"policy": {"slo_p95_ms": 60.0}}],
            "clock": self._clock,
        }

    def agent(
        self,
        device: str,
        role: str = "plain",
        load: str = "",
        broker: str = "",
        before: Sequence[str] = (),
    ) -> Process:
        """`load`: the URL of the page where an application counts its requests.

        `broker`: its URL, where it is another than the fleet's; `before`: a command that runs the agent.
        """
        state = self.folder / device
        state.mkdir(exist_ok=True)
        port = self.port(device)
        document = {
            "agent": {"fleet": FLEET, "device": device, "report_s": 6.0},
            "labels": {"role": role},
            "board": {"profile": "orin-nano-super"},
            "reader": {"root": str(self._board)},
            "tegrastats": {"command": ["no-such-program"]},
            "link": {"broker": broker or self.broker.url, "policy_keys": [self.key.trusted.public]},
            "spool": {"replay_per_s": 500.0},
            "load": [{"url": load}] if load else [],
            "metrics": {"listen": f"127.0.0.1:{port}", "address": f"127.0.0.1:{port}"},
            "state": {"folder": str(state)},
            "journal": {"path": str(state / "journal.jsonl")},
            "clock": self._clock,
        }
        config = self._write(f"{device}.toml", document)
        return self._start(device, "tidewatt_agent", ["run", "--config", str(config)], before)

    def ask(self, *arguments: str) -> str:
        """`tidewatt ARGUMENTS`, on the coordinators' configuration."""
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.folder / "east.toml")])
        assert done.exit_code == 0, (done.output, done.exception)
        return str(done.output)

    def document(self, promise_ms: float, **rollout: Any) -> str:
        """The path of a policy document with this promise, which tells rules apart."""
        name = f"p{promise_ms:g}"
        rules = [{"policy": {"slo_p95_ms": promise_ms}}]
        return str(self._write(f"{name}.policy.toml", {"name": name, "rules": rules, "rollout": rollout}))

    def address(self, name: str) -> str:
        """Where a process answers."""
        return f"http://127.0.0.1:{self._ports[name]}"

    def until_up(self, name: str) -> None:
        """Wait until a coordinator answers."""
        wait_for(lambda: self.get(name, "/healthz"), f"{name} to be up")

    @property
    def standing(self) -> Standing:
        """What the database says of the policy."""
        kept = self.journal.read()
        assert kept
        return kept.standing

    @property
    def stage(self) -> tuple[str, int]:
        """The rollout's stage, and the waves that it has reached."""
        kept = self.journal.read()
        rollout = kept.standing.rollout if kept else None
        return (rollout.stage, rollout.wave) if rollout else ("", 0)

    def history(self) -> list[Event]:
        """Who did what, the oldest first."""
        return self.journal.history(1000)[::-1]

    def until_stage(self, *wanted: str | int) -> None:
        wait_for(lambda: self.stage == wanted, f"the stage {wanted}")

    def until_wave(self, wanted: int) -> None:
        wait_for(lambda: self.stage[1] >= wanted, f"wave {wanted}")

    def until_applied(self, *devices: str, promise_ms: float | None = None) -> int:
        """Wait until these devices live by what stands now; its revision."""

        def all_do() -> bool:
            kept = self.journal.read()
            wanted = ("applied", kept.standing.revision if kept else 0)
            return all(self.watcher.answer(device) == wanted for device in devices)

        wait_for(all_do, f"{devices} to apply what stands")
        for device in devices:
            if promise_ms is not None:
                self._until_promised(device, promise_ms)
        return self.standing.revision

    def promise(self, device: str) -> float | None:
        """The promise that a device's last decision was made under: which rules hold there."""
        lines = self._journal(device)
        found: float | None = json.loads(lines[-1])["policy"]["slo_p95_ms"] if lines else None
        return found

    def ticks(self, device: str) -> int:
        """How often a device has decided since it was started."""
        lines = self._journal(device)
        return len(lines) - max(number for number, line in enumerate(lines) if '"began":true' in line)

    def page(self, name: str) -> str:
        """A process' metrics page; empty until it is up."""
        return self.get(name, "/metrics")

    def value(self, name: str, metric: str) -> float:
        """One metric without labels; 0 where the page isn't up."""
        lines = [line for line in self.page(name).splitlines() if line.startswith(f"{metric} ")]
        return float(lines[0].split()[-1]) if lines else 0.0

    def get(self, name: str, path: str) -> str:
        """What a process answers to this; empty if it doesn't, or says that there is no such thing."""
        try:
            url = f"http://127.0.0.1:{self._ports[name]}{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: str = answer.read().decode()
        except OSError:
            return ""
        return found

    def counted(self, device: str) -> dict[str, int]:
        """What a device that was stopped has counted, by its own file."""
        kept = json.loads((self.folder / device / "counters.json").read_text())["counters"]
        return {name: kept.get(name, 0) for name in COUNTERS}

    def ledgers(self, device: str) -> dict[str, int]:
        """The same by the ledger."""
        values = next((total.values for total in self.ledger.totals() if total.device == device), ())
        return dict(zip(COUNTERS, values, strict=False))

    def copy_database(self) -> Path:
        """A copy, as an operator keeps one."""
        copied = self.folder / "copy.db"
        _copy(self.folder / "ledger.db", copied)
        return copied

    def restore(self, copied: Path) -> None:
        """Put the copy in the database's place, while no coordinator runs."""
        _copy(copied, self.folder / "ledger.db")

    def close(self) -> None:
        for process in self._started:
            if process.running:
                process.signal(signal.SIGCONT)
                process.kill()
        self.watcher.close()
        self.ledger.close()

    def _journal(self, device: str) -> list[str]:
        path = self.folder / device / "journal.jsonl"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def until_in_ledger(self, device: str) -> None:
        """Wait until every counter of a device that was stopped is the ledger's."""
        counted = self.counted(device)
        assert counted["energy_mj"] > 0
        wait_for(lambda: self.ledgers(device) == counted, f"the ledger to have all of {device}")

    def _until_promised(self, device: str, promise_ms: float) -> None:
        wait_for(lambda: self.promise(device) == promise_ms, f"{device} to promise {promise_ms:g} ms")

    def _write(self, name: str, document: dict[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(to_toml(document))
        return path

    def _start(self, name: str, module: str, arguments: list[str], before: Sequence[str] = ()) -> Process:
        process = Process(name, module, arguments, self.folder, before)
        self._started.append(process)
        return process


def _copy(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source)) as one,
        contextlib.closing(sqlite3.connect(target)) as other,
    ):
        one.backup(other)


@contextlib.contextmanager
def fleet_of(broker: Mosquitto, folder: Path, url: str = "") -> Iterator[Fleet]:
    """A fleet of nobody yet; `url`: of an empty database, else one is made."""
    board = folder / "board"
    board.mkdir()
    with laid_out("orin-nano-super-jp62", board):
        fleet = Fleet(broker, folder, board, url)
        try:
            yield fleet
        finally:
            fleet.close()

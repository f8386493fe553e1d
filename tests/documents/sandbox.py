"""A folder in which documents' commands run: a coordinator with its broker, an agent on a recorded
board, a router.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.documents.blocks import ROOT, blocks, documents
from tests.ports import free_port
from tests.processes import Process
from tests.world import laid_out, recording
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.codec import encode
from tidewatt_wire.documents import to_toml
from tidewatt_wire.messages import Counters, DispatchTable, Gauges, Report, Verdict

BOARD = "orin-nano-super-jp62"
#: As AWS exports it, in the columns that we read.
FOCUS = """\
BilledCost,BillingAccountId,BillingCurrency,BillingPeriodStart,ChargeCategory,ChargePeriodEnd,ChargePeriodStart,\
EffectiveCost,ProviderName,ServiceName,Tags
12.5,1,USD,2026-10-01T00:00:00Z,Usage,2026-10-02T00:00:00Z,2026-10-01T00:00:00Z,12.5,AWS,AWS Lambda,{}
"""
#: What is in force before a document has somebody change it.
FIRST = 'name = "first"\n[[rules]]\npolicy = { slo_p95_ms = 60 }\n'
#: Nodes beside the board, of which a world is drawn up.
POOL = {
    "name": "cloud", "kind": "on_demand", "instance": "c7g.2xlarge", "node_rps": 50.0, "capacity_rps": 500.0,
    "latency": {"bounds_ms": [20.0, 50.0], "counts": [90, 9, 1]},
}  # fmt: skip
#: Of the board's earlier life, which the ledger holds: what is lived again are whole days.
LIVED_DAYS = 2
BUCKET_S = 300
DAY_S = 86_400
#: Real seconds for a process to come up, on a machine that has much else to do.
PATIENCE_S = 120.0
#: What makes a line the shell's business.
SHELL = set("|<>;&$*")


class Ran(NamedTuple):
    """What became of one line."""

    code: int
    said: str


class Sandbox:
    """Everything below one folder, on free ports of 127.0.0.1."""

    def __init__(self, folder: Path, board: Path) -> None:
        self.folder = folder
        self.page, self.broker, self.door, self.metrics, self.routing = (free_port() for _ in range(5))
        self._write("coordinator.toml", self._coordinator())
        begun = ("tidewatt enroll ca", "tidewatt keys new")
        self.done = {line: self.run(f"{line} --config coordinator.toml") for line in begun}
        """Lines that have to run before the coordinator can."""
        (self.key,) = re.findall(r'policy_keys = \["(\S+)"\]', self.done["tidewatt keys new"].said)
        self._write("agent.toml", self._agent(board))
        self._write("router.toml", self._router())
        self._fill()
        with contextlib.closing(Ledger(f"sqlite:///{folder}/tidewatt.db", BUCKET_S * 1000)) as ledger:
            ledger.take(list(_earlier_life()))
        self.started: dict[str, Process] = {}

    def _coordinator(self) -> dict[str, Any]:
        return {
            "coordinator": {"fleet": "f", "listen": f"127.0.0.1:{self.page}"},
            "access": {"anonymous": "viewer"},
            "broker": {"embedded_port": self.broker},
            "ledger": {"url": f"sqlite:///{self.folder}/tidewatt.db"},
            "enroll": {
                "listen": f"127.0.0.1:{self.door}",
                "folder": str(self.folder / "pki"),
                "names": ["127.0.0.1"],
                "broker": "mqtts://broker.example:8883",
            },
            "policy_keys": {"folder": str(self.folder / "policy-keys")},
            "models": {"folder": str(self.folder / "models")},
            "costs": {"focus": {"path": str(self.folder / "focus")}},
            "budgets": [{"name": "cloud", "amount": "1000"}],
            "dispatch": {"pools": [POOL]},
            "levers": {"multi_cloud": {"enabled": True, "nodes": {"c7g.2xlarge": 5}}},
        }

    def _agent(self, board: Path) -> dict[str, Any]:
        return {
            "agent": {"fleet": "f", "device": "jetson-17", "report_s": 1.0},
            "reader": {"root": str(board)},
            "tegrastats": {"command": ["no-such-program"]},
            "link": {
                "broker": f"mqtt://127.0.0.1:{self.broker}",
                "policy_keys": [self.key],
                "spread_s": 0.2,
            },
            "lease": {"socket": str(self.folder / "lease.sock")},
            "metrics": {"listen": f"127.0.0.1:{self.metrics}"},
            "state": {"folder": str(self.folder / "state")},
            "journal": {"path": str(self.folder / "journal.jsonl")},
        }

    def _router(self) -> dict[str, Any]:
        return {
            "router": {"fleet": "f", "name": "router-east"},
            "link": {
                "broker": f"mqtt://127.0.0.1:{self.broker}",
                "policy_keys": [self.key],
            },
            "state": {"folder": str(self.folder / "router")},
            "metrics": {"listen": f"127.0.0.1:{self.routing}"},
            "envoy": {"folder": str(self.folder / "envoy")},
            "backend": [{"name": "jetson-17", "address": "10.0.0.1:8000"}],
            "route": [{"name": "inference"}],
        }

    def _fill(self) -> None:
        """Lay out the files that commands name, those that documents show first."""
        for name in ("state", "router", "envoy", "focus", "traces", "broker-files"):
            (self.folder / name).mkdir()
        for document in documents():
            for block in blocks(document):
                name = block.lines[0].removeprefix("# ").strip() if block.info == "toml" else ""
                if name.endswith(".toml") and not (self.folder / name).exists():
                    (self.folder / name).parent.mkdir(exist_ok=True)
                    (self.folder / name).write_text(block.text)
        (self.folder / "focus/october.csv").write_text(FOCUS)
        (self.folder / "packaging").symlink_to(ROOT / "packaging")
        lines = "".join(f"{line}\n" for line in recording(BOARD).tegrastats)
        (self.folder / "tegrastats.log").write_text(lines)
        minutes = [f"2026-11-02T{at // 60:02}:{at % 60:02}:00Z" for at in range(1440)]
        rows = [f"{minute},{3000 + at}" for at, minute in enumerate(minutes)]
        (self.folder / "traces/day.csv").write_text(
            "\n".join(["timestamp,requests_per_minute", *rows]) + "\n"
        )
        batch = self.folder / "batch.sh"
        batch.write_text("#!/bin/sh\nexit 0\n")
        batch.chmod(0o755)
        weights = {"jetson-17": 1}
        table = DispatchTable(fleet="f", epoch=1, issued_at_ms=0, expires_at_ms=1, weights=weights)
        (self.folder / "table.json").write_bytes(encode(table))
        (self.folder / "first.toml").write_text(FIRST)
        (self.folder / "enrolled.toml").write_text((self.folder / "agent.toml").read_text())

    def _write(self, name: str, document: dict[str, Any]) -> None:
        (self.folder / name).write_text(to_toml(document))

    def start(self, name: str) -> None:
        """Start the coordinator, the agent or the router; returns when it answers."""
        word = "serve" if name == "coordinator" else "run"
        self.started[name] = Process(
            name, f"tidewatt_{name}", [word, "--config", f"{name}.toml"], self.folder
        )
        path = {
            "coordinator": f":{self.page}/healthz",
            "agent": f":{self.metrics}/metrics",
            "router": f":{self.routing}/metrics",
        }[name]
        deadline = time.monotonic() + PATIENCE_S
        while not self.answers(path):
            assert self.started[name].running, self.started[name].text()
            assert time.monotonic() < deadline, f"{name} did not come up"
            time.sleep(0.05)

    def answers(self, path: str) -> bool:
        """Whether 127.0.0.1 answers at `:port/path`."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1{path}", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def run(self, line: str) -> Ran:
        """One line as a person types it, in this folder."""
        if set(line) & SHELL:
            return self._spawned(["sh", "-c", line])
        words = shlex.split(line)
        if words[0] == "tidewatt":
            done = CliRunner().invoke(app, words[1:])
            why = f"{type(done.exception).__name__}: {done.exception}" if done.exception else ""
            return Ran(done.exit_code, f"{done.output}{why}")
        return self._spawned(words, ROOT if words == ["make"] else self.folder)

    def _spawned(self, words: Sequence[str], folder: Path | None = None) -> Ran:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=120, cwd=folder or self.folder,
            env=os.environ | {"PATH": path}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout + done.stderr)

    def service(self, word: str, name: str) -> Ran:
        """What systemd does with one of them: `stop`, `start` or `restart`."""
        if word != "start":
            self.started[name].stop()
        if word != "stop":
            self.start(name)
        return Ran(0, "")

    def stop(self) -> None:
        """End what was started, the last first."""
        for process in reversed(self.started.values()):
            if process.running:
                process.stop()


def _earlier_life() -> Iterator[Report]:
    """Two days that ended with the last midnight (UTC), at 10 requests/s and 10 W."""
    ended_s = int(time.time()) // DAY_S * DAY_S
    for seq, at_s in enumerate(range(ended_s - LIVED_DAYS * DAY_S, ended_s + BUCKET_S, BUCKET_S)):
        since_s = seq * BUCKET_S
        yield Report(
            device="jetson-17", session="before", epoch="before", seq=seq, at_ms=at_s * 1000,
            counters=Counters(
                energy_mj=since_s * 10_000, requests=since_s * 10, mode_ms={"15W": since_s * 1000}
            ),
            gauges=Gauges(point="15W", watts=10.0),
            verdict=Verdict(point="15W", rule="cheapest", reason="", outcome="unchanged"),
        )  # fmt: skip


@contextlib.contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """A coordinator and an agent that has reported to it, gone afterwards."""
    here = Path.cwd()
    with laid_out(BOARD, folder / "board"):
        os.chdir(folder)
        made = Sandbox(folder, folder / "board")
        try:
            made.start("coordinator")
            made.start("agent")
            made.start("router")
            made.run("tidewatt policy apply --now first.toml --config coordinator.toml")
            yield made
        finally:
            os.chdir(here)
            made.stop()

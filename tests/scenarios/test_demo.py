"""`tidewatt run` as a newcomer runs it: real processes, real ports, a short day; and its wrong ways."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port

from tidewatt_coordinator.demo.summary import unmeasured

MINUTES = 120


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours that go from quiet to busy and back."""
    file = tmp_path_factory.mktemp("trace") / "short.csv"
    rows = ["timestamp,requests_per_minute"]
    for minute in range(MINUTES):
        stamp = f"2026-01-05T{10 + minute // 60:02d}:{minute % 60:02d}:00Z"
        rows.append(f"{stamp},{3000 if minute < 50 else 15000}")
    file.write_text("\n".join(rows) + "\n")
    return file


class Demo:
    """A running demo."""

    def __init__(self, *arguments: str) -> None:
        self.port = free_port()
        program = [sys.executable, "-m", "tidewatt_coordinator", "run", "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            [*program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def fleet(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/fleet", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def until(self, true: "Any") -> dict[str, Any]:
        """The first state of the fleet for which `true` holds."""
        deadline = time.monotonic() + 90
        while True:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            try:
                fleet = self.fleet()
            except OSError:
                fleet = None
            if fleet and true(fleet):
                return fleet
            time.sleep(0.1)

    def children(self) -> list[int]:
        """The processes below it, all generations."""
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, task.read_text().split())
        return found[1:]

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=40)
        return self.process.returncode, out, err


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 15
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


@pytest.fixture
def demos() -> Iterator[list[Demo]]:
    running: list[Demo] = []
    yield running
    for demo in running:
        if demo.process.poll() is None:
            demo.process.kill()
        demo.process.communicate()


def test_a_day_once(trace: Path, tmp_path: Path, demos: list[Demo]) -> None:
    out = tmp_path / "out.json"
    arguments = ["--once", "--devices", "2", "--speed", "600", "--trace", str(trace), "--json", str(out)]
    demo = Demo(*arguments)
    demos.append(demo)
    fleet = demo.until(lambda fleet: len(fleet["policies"]) == 4 and fleet["online"] == 2)
    children = demo.children()
    assert len(children) >= 6, "broker, room, two agents and their two tegrastats"
    assert fleet["speed"] == 600
    assert all(device["reason"] for device in fleet["devices"])
    code, printed, errors = demo.end()
    assert (code, errors) == (0, "")
    assert "virtual tick stretched from 1 s to 60 s" in printed.replace("\n", " ")
    assert "best fixed" in printed

    summary = json.loads(out.read_text())
    assert summary["simulated"] is True
    assert summary["complete"] is True
    assert summary["devices_energy_joules"] == pytest.approx(summary["ledger_energy_joules"], abs=1.0)
    assert summary["devices_energy_joules"] > 2 * 4.0 * MINUTES * 60 * 0.6, (
        "two boards draw at least their idle watts, as long as they are up"
    )
    assert set(summary["policies"]) == {"tidewatt", "max_freq", "vendor_default", "best_fixed"}
    for policy in summary["policies"].values():
        assert {"energy_wh", "cost_usd", "violating_minutes", "switches"} <= set(policy)
        assert policy["cost_usd"] == pytest.approx(policy["energy_wh"] / 1000 * 0.15)
    assert summary["policies"]["tidewatt"]["switches"] > 0
    assert abs(summary["model_error_share"]) < 0.05
    # 300 rps at the 99.5th percentile: 60 rps for 50 minutes, then 300 for 70, two boards.
    # Never more than came; fewer where the machine was too busy to have every process up as the day began.
    assert 0.6 < summary["requests"] / (2 * 60 * (60 * 50 + 300 * 70)) < 1.05
    assert gone(children)


def test_what_a_busy_machine_left_out_is_told() -> None:
    """Else a fifth of a day reads as if it were one."""
    assert unmeasured(700.0, 86_400.0, 600.0) == ""
    assert unmeasured(0.0, 0.0, 600.0) == ""
    said = unmeasured(5 * 70_000.0, 5 * 86_400.0, 600.0)
    assert said.startswith("81% of the time was not measured: this machine had too much else to do for 600x.")
    assert "--speed" in said


def test_ctrl_c_stops_everything_and_tells_what_was(trace: Path, demos: list[Demo]) -> None:
    demo = Demo("--devices", "1", "--speed", "300", "--trace", str(trace))
    demos.append(demo)
    demo.until(lambda fleet: fleet["online"] == 1)
    children = demo.children()
    demo.process.send_signal(signal.SIGINT)
    code, printed, errors = demo.end()
    assert (code, errors) == (0, "")
    assert "Tidewatt (measured)" in printed
    assert gone(children)


def test_killed_it_takes_its_processes_along(trace: Path, demos: list[Demo]) -> None:
    demo = Demo("--devices", "1", "--speed", "300", "--trace", str(trace))
    demos.append(demo)
    demo.until(lambda fleet: fleet["online"] == 1)
    children = demo.children()
    demo.process.kill()
    assert gone(children), "no orphan outlives the demo, however it dies"


def test_an_agent_that_dies_is_named(trace: Path, demos: list[Demo]) -> None:
    demo = Demo("--devices", "1", "--speed", "300", "--trace", str(trace))
    demos.append(demo)
    demo.until(lambda fleet: fleet["online"] == 1)
    children = demo.children()
    agent = next(pid for pid in children if b"jetson-01.toml" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(agent, signal.SIGKILL)
    code, _, errors = demo.end()
    assert code == 1
    assert errors == "tidewatt: jetson-01 was killed by signal 9\n"
    assert gone(children)


def test_a_broker_that_dies_is_named(trace: Path, demos: list[Demo]) -> None:
    demo = Demo("--devices", "1", "--speed", "300", "--trace", str(trace))
    demos.append(demo)
    demo.until(lambda fleet: fleet["online"] == 1)
    children = demo.children()
    broker = next(
        pid for pid in children if b"tidewatt_coordinator.broker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(broker, signal.SIGKILL)
    code, _, errors = demo.end()
    assert code == 1
    assert errors.endswith("tidewatt: the embedded broker ended with status -9\n")
    assert gone(children)


def test_a_signal_to_the_whole_group_still_ends_in_order(trace: Path, demos: list[Demo]) -> None:
    demo = Demo("--devices", "1", "--speed", "300", "--trace", str(trace))
    demos.append(demo)
    demo.until(lambda fleet: fleet["online"] == 1 and fleet["energy_joules"] > 0)
    os.killpg(demo.process.pid, signal.SIGTERM)
    code, printed, errors = demo.end()
    assert (code, errors) == (0, "")
    assert "THEY DIFFER" not in printed

"""The agent as systemd runs it: a real process beside a machine room, told to stop, killed, observing."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port
from tests.world import Mosquitto

from tidewatt_wire.documents import to_toml

TIMEOUT_S = 30


def wait_for(true: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        found = true()
        if found:
            return found
        time.sleep(0.02)
    pytest.fail(f"waited {TIMEOUT_S} s in vain for {what}")


class Systemd:
    """The notification socket, read all the time, as systemd does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.heard: list[str] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096).decode():
            self.heard += message.split("\n")

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()


class Bench:
    """A machine room with one board, and a place to run agents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.systemd = Systemd(folder / "notify")
        self._processes: list[subprocess.Popen[bytes]] = []
        # A virtual minute a real second: a tick of 6 s, ten ticks a second.
        self.clock = {
            "origin_unix_ms": 1_525_219_200_000 + 21 * 3_600_000,
            "origin_monotonic_s": time.monotonic(),
            "speed": 60.0,
        }
        room = {"fleet": "f", "devices": ["b1"], "folder": str(folder), "clock": self.clock}
        process = self._start("room", ["simulate", str(self._write("room.toml", room))])
        assert process.stdout is not None
        self.board: dict[str, Any] = json.loads(process.stdout.readline())["b1"]

    def _write(self, name: str, document: dict[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(to_toml(document))
        return path

    def _start(self, name: str, arguments: list[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidewatt_agent", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"NOTIFY_SOCKET": str(self.systemd.path), "PATH": "/usr/bin:/bin"},
            )
        self._processes.append(process)
        return process

    def agent(
        self, control: str = "enforce", broker: str = "", metrics: str = "", replay_per_s: float = 2.0
    ) -> "subprocess.Popen[bytes]":
        document = {
            "agent": {"fleet": "f", "device": "b1", "control": control, "report_s": 2.0},
            "board": {"profile": "orin-nano-super", "actuator_socket": self.board["actuator_socket"]},
            "tegrastats": {"command": self.board["tegrastats"]},
            "load": [{"url": self.board["metrics_url"]}],
            "link": {"broker": broker},
            "spool": {"replay_per_s": replay_per_s},
            "metrics": {"listen": metrics},
            "state": {"folder": str(self.folder)},
            "journal": {"path": str(self.folder / "journal.jsonl")},
            "clock": self.clock,
        }
        return self._start("agent", ["run", "--config", str(self._write("agent.toml", document))])

    def ask(self, **question: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as board:
            board.connect(self.board["actuator_socket"])
            board.sendall(json.dumps(question).encode() + b"\n")
            answer: dict[str, Any] = json.loads(board.makefile().readline())
            return answer

    def mode(self) -> int:
        found: int = self.ask(op="state")["mode_id"]
        return found

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def journal(self) -> list[dict[str, Any]]:
        path = self.folder / "journal.jsonl"
        # What comes after the last newline is just being written.
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(10)
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
        self.systemd.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    try:
        yield bench
    finally:
        bench.close()


def test_ready_watchdog_stopping_and_the_board_given_back(bench: Bench) -> None:
    listen = f"127.0.0.1:{free_port()}"
    assert bench.mode() == 1
    agent = bench.agent(metrics=listen)
    wait_for(lambda: bench.systemd.heard.count("WATCHDOG=1") >= 5, "five ticks")
    assert bench.systemd.heard[0] == "READY=1"
    wait_for(lambda: bench.mode() == 3, "the quiet of 21:00 to bring the board to 7W")

    def page() -> str:
        with urllib.request.urlopen(f"http://{listen}/metrics") as answer:
            text: str = answer.read().decode()
            return text

    # The board stands there before the tick that brought it there has ended and told.
    wait_for(lambda: 'tidewatt_power_mode_info{mode="7W"} 1.0' in page(), "the page to say so")
    assert "tidewatt_energy_joules_total" in page()

    agent.terminate()
    assert agent.wait(10) == 0
    assert bench.systemd.heard[-1] == "STOPPING=1"
    assert bench.mode() == 1, "a clean stop gives the board back as it was found"
    assert "Traceback" not in bench.log()

    program = [sys.executable, "-m", "tidewatt_agent", "replay", str(bench.folder / "journal.jsonl")]
    replayed = subprocess.run(program, capture_output=True, text=True, check=True)
    assert "step down from 25W" in replayed.stdout
    assert replayed.stdout.count("\n") == len(bench.journal())


def test_observing_it_says_what_it_would_do_and_changes_nothing(bench: Bench) -> None:
    bench.agent(control="observe")
    record = wait_for(
        lambda: next((one for one in bench.journal() if one["outcome"]["kind"] == "observed"), None),
        "a decision to move",
    )
    assert record["outcome"]["detail"] == "would go to 7W"
    assert record["decision"]["reason"].endswith("since last switch")
    assert bench.mode() == 1


def test_the_application_going_away_is_no_load_known(bench: Bench) -> None:
    agent = bench.agent()
    wait_for(lambda: bench.mode() == 3, "7W")
    # The room holds the application and the board: without it nothing is known and nothing breaks.
    bench._processes[0].terminate()
    bench._processes[0].wait(10)
    wait_for(lambda: bench.journal()[-1]["decision"]["rule"] == "no_load_known", "the load to be unknown")
    assert bench.journal()[-1]["load"] is None
    assert agent.poll() is None, "the agent lives on"
    agent.terminate()
    assert agent.wait(10) == 0


def test_counters_outlive_the_agent_however_it_dies(bench: Bench) -> None:
    path = bench.folder / "counters.json"

    def energy_mj() -> int:
        if not path.exists():
            return 0
        found: int = json.loads(path.read_text())["counters"]["energy_mj"]
        return found

    def wait_for_more(than_mj: int) -> None:
        wait_for(lambda: energy_mj() > than_mj, "the counters to go on")

    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        before = energy_mj()
        agent = bench.agent()
        wait_for_more(before)
        agent.send_signal(number)
        agent.wait(10)
        assert energy_mj() > before
    assert "can't be read" not in bench.log()


def test_what_was_learned_of_the_board_outlives_the_agent(bench: Bench) -> None:
    agent = bench.agent(control="observe")
    wait_for(lambda: any(one["learned"] for one in bench.journal()), "a minute to be learned from")
    agent.terminate()
    assert agent.wait(10) == 0
    learned = json.loads((bench.folder / "learned.json").read_text())
    assert learned["25W"]["minutes"] >= 1
    before = len(bench.journal())
    bench.agent(control="observe")
    wait_for(lambda: len(bench.journal()) > before, "the next run")
    assert bench.journal()[before]["learned"], "it decides by what the one before it learned"


def test_a_killed_agent_is_seen_by_the_broker(bench: Bench, mosquitto: Mosquitto) -> None:
    listener = subprocess.Popen(
        ["mosquitto_sub", "-p", str(mosquitto.port), "-t", "tidewatt/v1/f/device/+/will", "-C", "1"],
        stdout=subprocess.PIPE,
    )
    agent = bench.agent(broker=mosquitto.url)
    wait_for(lambda: "connected to" in bench.log(), "the link")
    agent.send_signal(signal.SIGKILL)
    out, _ = listener.communicate(timeout=TIMEOUT_S)
    assert json.loads(out)["cause"] == "lost"


def test_what_an_agent_could_not_say_the_next_one_says(bench: Bench, mosquitto: Mosquitto) -> None:
    agent = bench.agent(broker="mqtt://127.0.0.1:1")
    wait_for(lambda: len(bench.journal()) > 20, "some ticks")
    agent.terminate()
    assert agent.wait(10) == 0
    assert "Traceback" not in bench.log()
    kept = sqlite3.connect(bench.folder / "spool.db")
    spooled = {payload for (payload,) in kept.execute("SELECT payload FROM report")}
    kept.close()
    assert len(spooled) > 5
    listener = subprocess.Popen(
        ["mosquitto_sub", "-p", str(mosquitto.port), "-t", "tidewatt/v1/f/device/b1/report"],
        stdout=subprocess.PIPE,
    )
    heard: set[bytes] = set()
    thread = threading.Thread(target=lambda: heard.update(map(bytes.strip, listener.stdout or ())))
    thread.start()
    try:
        bench.agent(broker=mosquitto.url, replay_per_s=1000.0)
        wait_for(lambda: spooled <= heard, "all that the first one kept")
    finally:
        listener.terminate()
        listener.wait()
        thread.join()
        if listener.stdout:
            listener.stdout.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"load": [{"url": "ftp://x"}]}, "load.url 'ftp://x' is not an http:// URL"),
        (
            {"link": {"broker": "x:1883"}},
            "link.broker 'x:1883' is not an mqtt://host:port, mqtts://, ws:// or wss:// URL",
        ),
        ({"metrics": {"listen": "nonsense"}}, "metrics.listen 'nonsense' is not host:port"),
    ],
)
def test_a_bad_set_up_is_one_sentence(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(to_toml({"agent": {"device": "a"}, **change}))
    program = [sys.executable, "-m", "tidewatt_agent", "run", "--config", str(file)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr == f"tidewatt-agent: {file}: {sentence}\n"

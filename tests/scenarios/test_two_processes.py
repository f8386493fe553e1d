"""Agent and actuator, two processes, on one stand-in board: load moves it, and any death puts it back."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish
from tests.actuators import Process, wait_for
from tests.sealing import PUBLIC, sealed, sealed_rules
from tests.world import Mosquitto

from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.board import boot, fail
from tidewatt_wire.codec import decode
from tidewatt_wire.documents import to_toml
from tidewatt_wire.messages import Ack, MaintenanceWindow, Policy, PolicySet, Rule
from tidewatt_wire.topics import DeviceTopic, FleetTopic

#: A day in 2026, where virtual time begins.
DAY_MS = 1_795_000_000_000


class Application:
    """A metrics page whose counter we hold."""

    def __init__(self) -> None:
        self.requests = 0
        page = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"akidb_requests_total {page.requests}\n".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self._server.server_port}/metrics"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Pair:
    """Both halves on one board."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.actuator = Process(folder)
        self.application = Application()
        self.agents: list[subprocess.Popen[bytes]] = []

    def agent(
        self, control: str = "enforce", broker: str = "", speed: float = 1.0
    ) -> "subprocess.Popen[bytes]":
        clock = {"clock": {"origin_unix_ms": DAY_MS, "origin_monotonic_s": time.monotonic(), "speed": speed}}
        document = {
            **(clock if speed != 1.0 else {}),
            "link": {"broker": broker, "policy_keys": [PUBLIC]},
            "agent": {"fleet": "f", "device": "b1", "control": control, "tick_s": 0.05},
            "board": {"actuator_socket": str(self.actuator.path)},
            "reader": {"root": str(self.actuator.root), "interval_s": 0.05},
            "load": [{"url": self.application.url, "histogram": ""}],
            "metrics": {"listen": ""},
            "state": {"folder": str(self.folder)},
            "journal": {"path": str(self.folder / "journal.jsonl")},
        }
        config = self.folder / "agent.toml"
        config.write_text(to_toml(document))
        with (self.folder / "agent.log").open("ab") as log:
            agent = subprocess.Popen(
                [sys.executable, "-m", "tidewatt_agent", "run", "--config", str(config)], stderr=log
            )
        self.agents.append(agent)
        return agent

    def journal(self) -> list[dict[str, Any]]:
        path = self.folder / "journal.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def outcomes(self) -> set[str]:
        return {record["outcome"]["kind"] for record in self.journal()}

    def overload(self) -> None:
        """Requests come so fast from now on that only the strongest point will do."""
        wait_for(self.journal, "the first tick")
        self.application.requests += 10_000_000

    def close(self) -> None:
        for agent in self.agents:
            agent.kill()
            agent.wait()
        self.actuator.close()
        self.application.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.close()


def stands(pair: Pair) -> int | None:
    talk = pair.actuator.talk()
    found: int | None = talk.ask(op="state")["mode_id"]
    talk.close()
    return found


def test_load_moves_the_board_and_a_clean_stop_gives_it_back(pair: Pair) -> None:
    pair.actuator.start()
    found = pair.actuator.nodes()
    agent = pair.agent()
    wait_for(lambda: pair.journal() and pair.journal()[-1]["stands"] == "15W", "the mode found")
    pair.overload()
    wait_for(lambda: stands(pair) == 2, "MAXN_SUPER")
    gpu = pair.actuator.root / "sys/class/devfreq/17000000.gpu/max_freq"
    assert gpu.read_text() == "1020000000\n", "the board itself, not anybody's word"
    wait_for(lambda: pair.journal()[-1]["stands"] == "MAXN_SUPER", "a tick in it")
    agent.terminate()
    assert agent.wait(20) == 0
    assert pair.actuator.nodes() == found
    assert "applied" in pair.outcomes()
    kept = json.loads((pair.folder / "counters.json").read_text())["counters"]
    assert kept["switches"] == 1
    assert {"15W", "MAXN_SUPER"} <= set(kept["mode_ms"])


def test_an_agent_killed_at_once_is_noticed_at_once(pair: Pair) -> None:
    pair.actuator.start()
    found, agent = pair.actuator.nodes(), pair.agent()
    pair.overload()
    wait_for(lambda: stands(pair) == 2, "MAXN_SUPER")
    agent.send_signal(signal.SIGKILL)
    wait_for(lambda: pair.actuator.nodes() == found, "the board to be put back")


def test_the_actuator_killed_and_started_again(pair: Pair) -> None:
    running = pair.actuator.start()
    found, agent = pair.actuator.nodes(), pair.agent()
    pair.overload()
    wait_for(lambda: stands(pair) == 2, "MAXN_SUPER")
    running.kill()
    running.wait()
    assert pair.actuator.start(command="restore").wait(20) == 0, "as ExecStopPost does"
    assert pair.actuator.nodes() == found
    pair.actuator.path.unlink()
    pair.actuator.start()
    # The agent lives on, finds the board moved, and brings it to where the load wants it.
    wait_for(lambda: stands(pair) == 2, "MAXN_SUPER again")
    assert agent.poll() is None
    assert "answers again" in (pair.folder / "agent.log").read_text()
    agent.terminate()
    assert agent.wait(20) == 0
    assert pair.actuator.nodes() == found


def test_a_mode_that_needs_a_reboot_is_asked_for_once(pair: Pair) -> None:
    pair.actuator.start()
    found = pair.actuator.nodes()
    fail(pair.actuator.root, "prompt")
    pair.agent()
    pair.overload()
    wait_for(lambda: "needs_reboot" in pair.outcomes(), "the answer")
    ticks = len(pair.journal())
    wait_for(lambda: len(pair.journal()) > ticks + 20, "twenty ticks more")
    asked = [one["decision"]["point"] for one in pair.journal() if one["outcome"]["kind"] == "needs_reboot"]
    assert len(asked) == len(set(asked)), "no point is asked for twice"
    assert pair.journal()[-1]["barred"] == sorted(asked)
    assert pair.actuator.nodes() == found


def test_a_planned_reboot(pair: Pair, mosquitto: Mosquitto) -> None:
    """The policy allows one mode, which needs a reboot, and names a window: in sixty-fold time."""
    root, asked = pair.actuator.root, pair.folder / "asked"
    conf = root / "etc/nvpmodel.conf"
    first, name, rest = conf.read_text().partition("NAME=7W")
    conf.write_text(first + name + rest.replace("TPC_PG_MASK 240", "TPC_PG_MASK 248"))
    reboot = pair.folder / "reboot"
    reboot.write_text(f"#!/bin/sh\necho asked >> {asked}\n")
    reboot.chmod(0o755)
    leave = ("--allow-reboot", "--reboot-command", str(reboot))
    policy = Policy(mode="7W", maintenance=MaintenanceWindow(start="00:00", minutes=1440))
    offered = PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=[Rule(policy=policy)])
    topic = str(FleetTopic("f", "policy"))
    publish.single(topic, sealed(offered), 1, retain=True, hostname="127.0.0.1", port=mosquitto.port)

    running, agent = pair.actuator.start(*leave), pair.agent(broker=mosquitto.url, speed=60.0)
    wait_for(lambda: "reboot_planned" in pair.outcomes(), "the plan")
    assert not asked.exists(), "it is told before it is done"
    wait_for(lambda: answer(mosquitto) == ("pending_reboot", 1), "the answer to the policy set")
    wait_for(asked.exists, "the reboot")
    wait_for(lambda: "rebooting" in pair.outcomes(), "the last word")
    # What a shutdown does.
    for half in (agent, running):
        half.terminate()
        assert half.wait(20) == 0
    assert (root / nvpmodel.STATUS).read_text() == "pmode:0003"
    boot(root)
    (pair.folder / "journal.jsonl").unlink()
    pair.actuator.start(*leave)
    pair.agent(broker=mosquitto.url, speed=60.0)
    wait_for(lambda: "reboot_reached" in pair.outcomes(), "the answer")
    wait_for(lambda: pair.journal()[-1]["outcome"]["kind"] == "unchanged", "its being told")
    assert pair.journal()[-1]["stands"] == "7W"
    wait_for(lambda: answer(mosquitto) == ("applied", 1), "the answer to the policy set")
    assert asked.read_text() == "asked\n", "once"


def test_a_policy_that_says_observe_folds_the_hands_and_outlives_the_broker(
    pair: Pair, mosquitto: Mosquitto
) -> None:
    pair.actuator.start()
    found, agent = pair.actuator.nodes(), pair.agent(broker=mosquitto.url)
    pair.overload()
    wait_for(lambda: stands(pair) == 2, "MAXN_SUPER")
    rules = [Rule(policy=Policy(control="observe"))]
    topic = str(FleetTopic("f", "policy"))
    publish.single(topic, sealed_rules(1, rules), 1, retain=True, hostname="127.0.0.1", port=mosquitto.port)
    wait_for(lambda: pair.actuator.nodes() == found, "the board to be put back")
    wait_for(lambda: answer(mosquitto) == ("applied", 1), "the answer to the policy set")
    agent.terminate()
    assert agent.wait(20) == 0
    mosquitto.kill()
    (pair.folder / "journal.jsonl").unlink()
    pair.agent(broker=mosquitto.url)
    pair.overload()
    wait_for(lambda: "observed" in pair.outcomes(), "what it would do, by the kept policy")
    assert pair.actuator.nodes() == found
    assert "policy revision 1 is in force, as kept" in (pair.folder / "agent.log").read_text()


def answer(mosquitto: Mosquitto) -> tuple[str, int] | None:
    """The retained ack's status and revision."""
    topic = str(DeviceTopic("f", "b1", "ack"))
    command = ["mosquitto_sub", "-p", str(mosquitto.port), "-t", topic, "-C", "1", "-W", "2"]
    told = subprocess.run(command, capture_output=True, check=False).stdout
    ack = decode(Ack, told) if told else None
    return (ack.status, ack.revision) if ack else None


def test_observing_it_only_looks(pair: Pair) -> None:
    pair.actuator.start()
    found = pair.actuator.nodes()
    pair.agent(control="observe")
    pair.overload()
    wait_for(lambda: "observed" in pair.outcomes(), "what it would do")
    assert pair.actuator.nodes() == found
    assert not pair.actuator.undo.exists()

"""Sleep with real processes: a machine room, an agent and a broker; every failure of the stand-in board.

In fast virtual time. The room's actuator lets the board sleep; the test plays the coordinator.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish
from tests.actuators import wait_for
from tests.ports import free_port
from tests.sealing import FLEETS_KEY, FOREIGN_KEY, NEXT_KEY, PUBLIC, keep_key, sealed_rules
from tests.world import Mosquitto

from tidewatt_agent.sleeping.verdict import Identity, Verdict, load, save
from tidewatt_agent.standin.board import BOOT_ID, fail
from tidewatt_wire.clock import Clock, Timebase
from tidewatt_wire.codec import decode, encode
from tidewatt_wire.documents import to_toml
from tidewatt_wire.messages import Alert, DispatchTable, Policy, Rule, SleepLimits
from tidewatt_wire.signing import DISPATCH_TYPE, HINT_TYPE, Signer, seal
from tidewatt_wire.sleeping import SleepHint, SleepState
from tidewatt_wire.topics import AlertTopic, DeviceTopic, FleetTopic, HintTopic

DAY_MS = 1_795_000_000_000
SPEED = 40.0
POLICY = Policy(sleep=SleepLimits(longest_nap_s=120.0))
#: The room takes the traffic's shares from the test alone: a coordinator would send the board some.
ROOMS_KEY = NEXT_KEY
COORDINATOR = """
[coordinator]
fleet = "f"
listen = "127.0.0.1:{port}"
[access]
anonymous = "viewer"
[broker]
url = "{broker}"
[ledger]
url = "sqlite:///{folder}/l.db"
[policy_keys]
folder = "{folder}/keys"
[models]
folder = "{folder}/models"
[[policy]]
policy.sleep.longest_nap_s = 60.0
[clock]
origin_unix_ms = {origin_ms}
origin_monotonic_s = {origin_s}
speed = {speed}
"""


class Night:
    """One board in a room, its agent, and what the broker holds of it."""

    def __init__(self, folder: Path, mosquitto: Mosquitto) -> None:
        self.folder, self.mosquitto = folder, mosquitto
        self.timebase = Timebase(DAY_MS, time.monotonic(), SPEED)
        self.clock = Clock(time.monotonic, time.time, self.timebase)
        self.started: list[subprocess.Popen[bytes]] = []
        self.doors: dict[str, Any] = {}
        self.root = folder / "b1.root"
        self.verdict = folder / "state" / "sleep.json"
        self.verdict.parent.mkdir()
        self.hints = 0
        self.port = 0
        self.late_s = 200.0

    def open(self) -> None:
        room = {
            "fleet": "f", "devices": ["b1", "b2"], "folder": str(self.folder), "repeat": True,
            "broker": self.mosquitto.url, "policy_keys": [ROOMS_KEY.trusted.public],
            "clock": {"origin_unix_ms": DAY_MS, "origin_monotonic_s": self.timebase.origin_monotonic_s,
                      "speed": SPEED},
        }  # fmt: skip
        path = self.folder / "room.toml"
        path.write_text(to_toml(room))
        with (self.folder / "room.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidewatt_agent", "simulate", str(path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.started.append(process)
        assert process.stdout
        self.doors = json.loads(process.stdout.readline())["b1"]
        self.weigh(b1=0, b2=1)
        self.say_policy(POLICY)

    def weigh(self, **weights: int) -> None:
        table = DispatchTable(fleet="f", epoch=1, issued_at_ms=DAY_MS, expires_at_ms=2**50, weights=weights)
        sealed = seal(encode(table), [ROOMS_KEY], DISPATCH_TYPE)
        self._publish(str(FleetTopic("f", "dispatch")), sealed)

    def say_policy(self, policy: Policy, revision: int = 1) -> None:
        self._publish(str(FleetTopic("f", "policy")), sealed_rules(revision, [Rule(policy=policy)]))

    def hint(self, for_s: float, key: Signer = FLEETS_KEY, **more: Any) -> None:
        self.hints += 1
        now_ms = self.clock.now_ms()
        hint = SleepHint(**{
            "fleet": "f", "device": "b1", "issued_at_ms": now_ms, "expires_at_ms": now_ms + 10**8,
            "serve_at_ms": now_ms + round(for_s * 1000), "reason": "b2 carries it", **more,
        })  # fmt: skip
        self._publish(str(HintTopic("f", "b1")), seal(encode(hint), [key], HINT_TYPE))

    def take_hint(self) -> None:
        self._publish(str(HintTopic("f", "b1")), b"")

    def _publish(self, topic: str, payload: bytes) -> None:
        publish.single(topic, payload, 1, retain=True, hostname="127.0.0.1", port=self.mosquitto.port)

    def qualified(self, resume_s: float = 5.0) -> None:
        """As the trial would have left it."""
        save(self.verdict, Verdict(
            identity=Identity(kernel="", jetpack="", application="v1"), at_ms=DAY_MS, passed=True, cycles=20,
            asleep_watts=0.5, suspend_s=8.0, resume_s=resume_s,
        ))  # fmt: skip

    def config(self, after: Sequence[str] = ()) -> Path:
        document = {
            "clock": {"origin_unix_ms": DAY_MS, "origin_monotonic_s": self.timebase.origin_monotonic_s,
                      "speed": SPEED},
            "link": {"broker": self.doors["broker_url"], "policy_keys": [PUBLIC], "spread_s": 0.1},
            "agent": {"fleet": "f", "device": "b1", "control": "enforce"},
            "board": {"profile": "orin-nano-super", "actuator_socket": self.doors["actuator_socket"]},
            "reader": {"root": str(self.root), "kind": "tegrastats"},
            "tegrastats": {"command": self.doors["tegrastats"]},
            "load": [{"url": self.doors["metrics_url"]}],
            "metrics": {"listen": ""},
            "lease": {"socket": str(self.folder / "lease.sock")},
            "state": {"folder": str(self.verdict.parent)},
            "sleep": {
                "application": ["cat", str(self.folder / "application")],
                "health": [sys.executable, "-c", HEALTH, self.doors["metrics_url"]],
                "before": ["sh", "-c", f"echo before >> {self.folder}/hooks"],
                "after": list(after) or ["sh", "-c", f"echo after >> {self.folder}/hooks"],
                "ready_s": 4.0,
                "late_s": self.late_s,
            },
        }  # fmt: skip
        (self.folder / "application").write_text("v1")
        path = self.folder / "agent.toml"
        path.write_text(to_toml(document))
        return path

    def agent(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidewatt_agent", "run", "--config", str(self.config())], stderr=log
            )
        self.started.append(process)
        return process

    def log(self) -> str:
        path = self.folder / "agent.log"
        return path.read_text() if path.exists() else ""

    def heard(self, kind: str) -> bytes:
        return self._retained(str(DeviceTopic("f", "b1", kind)))  # type: ignore[arg-type] # one of them

    def _retained(self, topic: str) -> bytes:
        command = ["mosquitto_sub", "-p", str(self.mosquitto.port), "-t", topic, "-C", "1", "-W", "1"]
        return subprocess.run(command, capture_output=True, check=False).stdout

    def state(self) -> SleepState | None:
        told = self.heard("sleep")
        return decode(SleepState, told) if told else None

    def is_state(self, state: str) -> bool:
        found = self.state()
        return found is not None and found.state == state

    def ended(self) -> str:
        """How the last nap went."""
        found = self.state()
        return found.last.outcome if found and found.state == "awake" and found.last else ""

    def coordinator(self) -> "subprocess.Popen[bytes]":
        keep_key(self.folder / "keys", FLEETS_KEY)
        self.port = free_port()
        path = self.folder / "coordinator.toml"
        path.write_text(COORDINATOR.format(
            port=self.port, broker=self.mosquitto.url, folder=self.folder, origin_ms=DAY_MS,
            origin_s=self.timebase.origin_monotonic_s, speed=SPEED,
        ))  # fmt: skip
        with (self.folder / "coordinator.log").open("ab") as log:
            command = [sys.executable, "-m", "tidewatt_coordinator", "serve", "--config", str(path)]
            process = subprocess.Popen(command, stderr=log)
        self.started.append(process)
        return process

    def shown(self, what: str) -> Any:
        """What the coordinator shows of the board."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/fleet", timeout=5) as page:
                devices = json.load(page)["devices"]
        except OSError:
            return None
        return next((one[what] for one in devices if one["device"] == "b1"), None)

    def answers(self) -> bool:
        """Whether the board's application does."""
        try:
            with urllib.request.urlopen(str(self.doors["metrics_url"]), timeout=5):  # noqa: S310 - the room's
                return True
        except OSError:
            return False

    def alert(self, kind: str = "sleep") -> str:
        """How the alert that the board is overdue stands, or another of its own; empty without one."""
        told = self._retained(str(AlertTopic("f", f"{kind}.b1")))
        return decode(Alert, told).state if told else ""

    def counters(self) -> dict[str, Any]:
        path = self.verdict.with_name("counters.json")
        return dict(json.loads(path.read_text())["counters"]) if path.exists() else {}

    def close(self) -> None:
        for process in reversed(self.started):
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
            if process.stdin:
                process.stdin.close()


HEALTH = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)"


@pytest.fixture
def night(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Night]:
    night = Night(tmp_path, mosquitto)
    night.open()
    yield night
    night.close()


def test_it_sleeps_by_a_hint_says_so_and_is_back_by_its_alarm(night: Night) -> None:
    night.qualified()
    night.agent()
    night.hint(for_s=600.0)
    wait_for(lambda: night.is_state("asleep"), "the board to sleep")
    asleep = night.state()
    assert asleep
    assert asleep.until_ms
    assert asleep.expires_at_ms
    assert asleep.until_ms - asleep.at_ms < 125_000, "never longer than the policy's longest nap"
    assert asleep.until_ms < asleep.expires_at_ms
    assert asleep.watts == 0.5
    assert night.heard("will") == b"", "a sleeping board is not dead"
    wait_for(lambda: night.ended() == "woke", "it to wake")
    birth = json.loads(night.heard("birth"))
    assert birth["session"] != asleep.session, "born again"
    assert (night.folder / "hooks").read_text().startswith("before\nafter\n")
    wait_for(lambda: night.counters().get("mode_ms", {}).get("asleep", 0) >= 100_000, "the nap to be counted")
    kept = night.counters()
    assert kept["asleep_mj"] == pytest.approx(0.5 * kept["mode_ms"]["asleep"], rel=0.01)
    wait_for(lambda: night.is_state("asleep"), "the next nap, as the hint still holds")


@pytest.mark.parametrize(
    ("failure", "outcome", "why"),
    [
        ("wakes-late", "late", "after its alarm"),
        ("clock-jump", "unwell", "the time of day moved by -3"),
        ("gpu-dead", "unwell", "the health command says"),
    ],
)
def test_a_resume_that_fails_disqualifies(night: Night, failure: str, outcome: str, why: str) -> None:
    night.qualified()
    fail(night.root, failure)
    night.agent()
    night.hint(for_s=600.0)
    wait_for(lambda: night.ended() == outcome, outcome)
    state, verdict = night.state(), load(night.verdict)
    assert state
    assert verdict
    assert not verdict.passed
    assert why in verdict.why
    assert not state.able
    assert why in state.why_not
    wait_for(lambda: "this board sleeps no more" in night.log(), "the log to say so")


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        ("alarm-busy", "Device or resource busy"),
        ("alarm-lost", "and says None"),
        ("no-sleep", "Sleep verb not supported"),
    ],
)
def test_without_an_alarm_or_a_suspend_it_stays_awake_and_says_why(
    night: Night, failure: str, why: str
) -> None:
    night.qualified()
    fail(night.root, failure)
    night.agent()
    night.hint(for_s=600.0)
    wait_for(lambda: night.ended() == "stayed_awake", "it to say so")
    state, verdict = night.state(), load(night.verdict)
    assert state
    assert state.last
    assert why in state.last.detail
    assert verdict
    assert verdict.passed, "it woke from no sleep, so it failed none"


def test_one_that_never_wakes_is_overdue_and_disqualified_when_it_was_booted(night: Night) -> None:
    night.qualified()
    fail(night.root, "never-wakes")
    agent = night.agent()
    night.hint(for_s=600.0)
    wait_for(lambda: night.is_state("asleep"), "the board to sleep")
    asleep = night.state()
    assert asleep
    expires_ms = asleep.expires_at_ms or 0
    wait_for(lambda: night.clock.now_ms() > expires_ms, "its time to be over")
    assert night.is_state("asleep"), "nothing has come"
    # Somebody takes the power away and gives it back.
    agent.kill()
    agent.wait()
    night.take_hint()
    fail(night.root)
    (night.root / BOOT_ID).write_text("another")
    night.agent()
    wait_for(lambda: night.ended() == "lost", "its word of it")
    verdict = load(night.verdict)
    assert verdict
    assert "booted anew" in verdict.why


def test_one_that_wakes_without_a_network_is_an_alert_and_disqualified(night: Night) -> None:
    night.qualified()
    fail(night.root, "no-network")
    night.late_s = 20.0
    night.coordinator()
    night.agent()
    night.hint(for_s=600.0)
    wait_for(lambda: "sleeps no more" in night.log(), "it to give up")
    wait_for(lambda: night.alert() == "firing", "people to be told")
    assert night.is_state("asleep"), "nothing has come"
    fail(night.root)
    wait_for(lambda: night.ended() == "unwell", "its word of it")
    state = night.state()
    assert state
    assert state.why_not == "disqualified: the broker is not reached"
    log = night.folder / "coordinator.log"
    wait_for(lambda: "sleep.b1 recovered" in log.read_text(), "the alert to be over")
    wait_for(lambda: night.alert("unwell") == "firing", "people to be told that it sleeps no more")


def test_a_coordinator_that_is_killed_while_a_board_sleeps_wakes_nobody_later(night: Night) -> None:
    night.qualified()
    coordinator = night.coordinator()
    night.agent()
    night.hint(for_s=600.0)
    wait_for(lambda: night.shown("status") == "asleep", "the fleet to know that it sleeps")
    assert night.shown("asleep_until_ms") == night.state().until_ms  # type: ignore[union-attr] # it is known
    coordinator.kill()
    coordinator.wait()
    wait_for(lambda: night.ended() == "woke", "it to wake by its alarm")
    wait_for(lambda: night.counters().get("mode_ms", {}).get("asleep", 0) >= 50_000, "the nap to be counted")
    state = night.state()
    assert state
    assert state.last
    assert state.last.late_s < 60.0


def test_an_agent_that_is_killed_while_its_board_sleeps_wakes_to_the_same_truth(night: Night) -> None:
    night.qualified()
    agent = night.agent()
    night.hint(for_s=600.0)
    wait_for(lambda: night.is_state("asleep"), "the board to sleep")
    agent.kill()
    agent.wait()
    night.take_hint()
    assert night.heard("will") == b""
    wait_for(night.answers, "the board to wake, and its network with it")
    night.agent()
    wait_for(lambda: night.ended() == "woke", "the board's word")
    verdict = load(night.verdict)
    assert verdict
    assert verdict.passed
    assert not night.verdict.with_name("nap.json").exists()


@pytest.mark.parametrize("obstacle", ["policy", "verdict", "application", "lease", "load", "signature"])
def test_it_stays_awake_for_whoever_needs_it(night: Night, obstacle: str) -> None:
    if obstacle != "verdict":
        night.qualified()
    if obstacle == "policy":
        night.say_policy(Policy(), 2)
    if obstacle == "load":
        night.weigh(b1=1, b2=1)
    night.agent()
    if obstacle == "application":
        (night.folder / "application").write_text("v2")
    wait_for(lambda: "link: connected" in night.log(), "the link")
    if obstacle == "lease":
        wait_for((night.folder / "lease.sock").exists, "the door")
        hold = [sys.executable, "-m", "tidewatt_agent", "hold", "--config", str(night.folder / "agent.toml")]
        subprocess.run([*hold, "--min-mode", "7W", "--for", "2h"], check=True)
    night.hint(for_s=600.0, key=FOREIGN_KEY if obstacle == "signature" else FLEETS_KEY)
    since_ms = night.clock.now_ms()
    wait_for(lambda: night.clock.now_ms() > since_ms + 120_000, "two minutes in which it could have slept")
    assert not night.is_state("asleep")
    assert "asleep for" not in night.log()
    if obstacle == "signature":
        assert "sleep hint refused" in night.log()


def test_the_qualification_of_a_board_that_is_well(night: Night) -> None:
    done, verdict = qualify(night)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdict.passed
    assert verdict.cycles == 2
    assert verdict.asleep_watts == 0.5
    assert verdict.identity.application == "v1"
    assert verdict.watts_before
    assert verdict.watts_after
    assert verdict.resume_s
    assert verdict.suspend_s
    assert "2 of 2" in done.stdout
    assert "passed (2 good naps; asleep 0.50 W" in done.stdout


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        ("wakes-late", "it woke 3"),
        ("gpu-dead", "the health command says"),
        ("alarm-busy", "no alarm, no sleep"),
        ("kernel", "the kernel logged 1 errors: nvgpu: it is gone"),
    ],
)
def test_the_qualification_fails_by_what_it_finds(night: Night, failure: str, why: str) -> None:
    fail(night.root, failure)
    before = ["sh", "-c", f"echo '3,7,9,-;nvgpu: it is gone' >> {night.root}/dev/kmsg"]
    done, verdict = qualify(night, before if failure == "kernel" else ())
    assert done.returncode == 1
    assert not verdict.passed
    assert why in verdict.why
    assert "failed: " in done.stdout


def qualify(night: Night, after: Sequence[str] = ()) -> "tuple[subprocess.CompletedProcess[str], Verdict]":
    path = night.config(after)
    (night.root / "dev").mkdir(exist_ok=True)
    (night.root / "dev/kmsg").write_text("3,1,2,-;an old error\n")
    command = [sys.executable, "-m", "tidewatt_agent", "sleep", "qualify", "--config", str(path)]
    done = subprocess.run(
        [*command, "--cycles", "2", "--asleep-watts", "0.5"],
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    verdict = load(night.verdict)
    assert verdict, done.stderr
    return done, verdict

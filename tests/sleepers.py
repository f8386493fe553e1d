"""Boards that sleep by the fleet's plan, and the coordinator as a process that can be killed.

Virtual time. Each board runs its agent's sleeper, link and neighbours' orders; the door to its actuator is
the test's, which sleeps until the alarm or a packet. The test is the proxy, too: it goes by the last table.
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from tests.ports import free_port
from tests.world import Mosquitto

from tidewatt_agent.actuator.nap import Slept
from tidewatt_agent.config import Config as AgentConfig
from tidewatt_agent.link import Link
from tidewatt_agent.planhints import PlanHints
from tidewatt_agent.sleeping.door import Ready, SleepDoor
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.neighbours import Wakes, wakes_others
from tidewatt_agent.sleeping.sleeper import Sleeper
from tidewatt_agent.sleeping.verdict import FILE_NAME, Identity, Verdict, save
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_governor.boards import load_profile
from tidewatt_governor.points import usable_rps
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended, within
from tidewatt_wire.clock import Clock, Timebase
from tidewatt_wire.codec import decode
from tidewatt_wire.documents import to_toml
from tidewatt_wire.messages import (
    Birth,
    Counters,
    DispatchTable,
    Gauges,
    Policy,
    Report,
    SleepLimits,
    TrustedKey,
)
from tidewatt_wire.signing import DISPATCH_TYPE, open_envelope
from tidewatt_wire.sleeping import magic_packet
from tidewatt_wire.topics import FleetTopic, WakeTopic

SPEED, TICK_S, DAY_MS = 100.0, 5.0, 1_795_000_000_000
BOARD = load_profile("orin-nano-super")
#: Hints are void after so long, and no nap is longer.
HINT_S, LONGEST_S = 120.0, 300.0
POLICY = Policy(headroom=0.02, sleep=SleepLimits(longest_nap_s=LONGEST_S, wake_neighbours=True))
NAMES = ("b1", "b2", "b3", "b4")
MOST = max(usable_rps(point, POLICY.slo_p95_ms) for point in BOARD.points)


def mac_of(name: str) -> str:
    return f"48:b0:2d:00:00:0{name[1:]}"


class Segment:
    """What carries packets between boards; who was woken by one."""

    def __init__(self) -> None:
        self.beds: dict[str, asyncio.Event] = {}
        self.woken: list[str] = []

    def send(self, packet: bytes) -> None:
        for name, bed in self.beds.items():
            if packet == magic_packet(mac_of(name)):
                self.woken.append(name)
                bed.set()


class Door(SleepDoor):
    """An actuator that sleeps until its alarm, or a packet."""

    def __init__(self, clock: Clock, bed: asyncio.Event) -> None:
        super().__init__("")
        self._clock, self._bed = clock, bed
        self.slept: list[Slept] = []
        self.began_ms: list[int] = []

    async def ready(self) -> Ready:
        return Ready("", "boot", self._clock.now_ms() // 1000)

    async def sleep(self, for_s: float) -> Slept:
        began_s = self._clock.monotonic_s()
        self._bed.clear()
        self.began_ms.append(self._clock.now_ms())
        with contextlib.suppress(asyncio.TimeoutError):
            await within(self._bed.wait(), self._clock.real_seconds(for_s))
        slept_s = self._clock.monotonic_s() - began_s
        late_s, early_s = max(0.0, slept_s - for_s), max(0.0, for_s - slept_s)
        self.slept.append(Slept(slept_s=slept_s, awake_s=0.0, late_s=late_s, early_s=early_s))
        return self.slept[-1]


class Board:
    """One agent's link, its sleeper, its ears for neighbours' orders."""

    def __init__(
        self, name: str, broker: Mosquitto, clock: Clock, key: TrustedKey, place: Segment, root: Path
    ) -> None:
        self.name, self._clock, self._lives = name, clock, 0
        self._requests, self._seq = 0.0, 0
        self._root(root)
        config = msgspec.convert({
            "agent": {"fleet": "f", "device": name}, "reader": {"root": str(root)},
            "state": {"folder": str(root)}, "sleep": {"quiet_s": 10.0, "late_s": 120.0},
        }, AgentConfig)  # fmt: skip
        self.plan = PlanHints("f", name, lambda: [key], clock)
        hints = Hints("f", name, lambda: [key])
        wakes = Wakes(WakeTopic("f", name), clock, lambda: [key], lambda: wakes_others(POLICY), place.send)
        self.link = Link(
            Connection(broker.url), "f", self._birth, ignore, spread_s=0.02,
            on_plan=self.plan.take, on_hint=hints.take, on_wake=wakes.take,
        )  # fmt: skip
        self.link.follow([*self.plan.topics, hints.topic, wakes.topic])
        place.beds[name] = asyncio.Event()
        self.door = Door(clock, place.beds[name])
        self.sleeper = Sleeper(
            config, clock, self.door, self.link, hints, lambda _s, _watts: None, lambda: True
        )

    def _root(self, root: Path) -> None:
        """Its card listens to packets, and its trial went well."""
        card = root / "sys/class/net/eth0"
        (card / "device/power").mkdir(parents=True)
        (card / "address").write_text(mac_of(self.name))
        (card / "device/power/wakeup").write_text("enabled")
        save(root / FILE_NAME, Verdict(
            identity=Identity(kernel="", jetpack="", application=""), at_ms=DAY_MS, passed=True, cycles=20,
            asleep_watts=0.5, suspend_s=8.0, resume_s=15.0,
        ))  # fmt: skip

    def _birth(self) -> Birth:
        self._lives += 1
        return Birth(
            device=self.name, session=f"s{self._lives}", epoch="e", at_ms=self._clock.now_ms(), version="0",
            board=BOARD.name, control="enforce", points=BOARD.points, labels={"site": "roof"},
            vendor_default=BOARD.vendor_default,
        )  # fmt: skip

    @property
    def asleep(self) -> bool:
        return self.sleeper.board.locked()

    def tick(self, rps: float) -> None:
        now_ms = self._clock.now_ms()
        hint = self.plan.at(now_ms, self._clock.monotonic_s())
        self._requests, self._seq = self._requests + rps * TICK_S, self._seq + 1
        report = Report(
            device=self.name, session="s", epoch="e", seq=self._seq, at_ms=now_ms,
            counters=Counters(requests=round(self._requests)),
            gauges=Gauges(point=hint.point if hint else BOARD.vendor_default or "", requests_rps=rps),
        )  # fmt: skip
        self.link.send(report)
        self.sleeper.note(report, POLICY)


async def ignore(_payload: bytes) -> None:
    """The policy is the test's."""


class World:
    """Boards behind a proxy that follows the dispatch table; who sleeps is sent nothing, or it is lost."""

    def __init__(self, broker: Mosquitto, folder: Path) -> None:
        timebase = Timebase(DAY_MS, time.monotonic(), SPEED)
        self.clock, self.place = Clock(time.monotonic, time.time, timebase), Segment()
        self.key = KeyFolder(folder / "keys").new().trusted
        self.boards = {
            name: Board(name, broker, self.clock, self.key, self.place, folder / name) for name in NAMES
        }
        self.weights = dict.fromkeys(NAMES, 1)
        self.demand_rps = 40.0
        self.lost = 0.0
        self._connection, self._folder = Connection(broker.url), folder
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "coordinator.toml"
        self._config.write_text(to_toml({
            "coordinator": {"fleet": "f", "listen": f"127.0.0.1:{free_port()}", "name": "east"},
            "broker": {"url": broker.url},
            "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
            "policy_keys": {"folder": str(folder / "keys")},
            "models": {"folder": str(folder / "models")},
            "dispatch": {"stale_after_s": 120.0, "motion": 1.0, "absorb_loss": False},
            "planning": {"mode": "hint", "hint_s": HINT_S},
            "policy": [{"policy": {"headroom": 0.02, "sleep": {
                "longest_nap_s": LONGEST_S, "wake_neighbours": True,
            }}}],
            "clock": {"origin_unix_ms": DAY_MS, "origin_monotonic_s": timebase.origin_monotonic_s,
                      "speed": SPEED},
        }))  # fmt: skip

    def start(self) -> None:
        """Start the coordinator."""
        command = [sys.executable, "-m", "tidewatt_coordinator", "serve", "--config", str(self._config)]
        with (self._folder / "coordinator.log").open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log)

    def kill(self) -> None:
        """Kill it, which leaves it no last word."""
        if self._process:
            self._process.kill()
            self._process.wait(20)
        self._process = None

    @property
    def asleep(self) -> set[str]:
        return {name for name, board in self.boards.items() if board.asleep}

    async def live(self) -> None:
        """Traffic by the table that stands, and the tick of everybody who is awake."""
        while True:
            total = sum(self.weights.get(name, 0) for name in NAMES)
            for name, board in self.boards.items():
                rps = self.demand_rps * self.weights.get(name, 0) / total
                if board.asleep:
                    self.lost += rps * TICK_S
                else:
                    board.tick(rps)
            await asyncio.sleep(self.clock.real_seconds(TICK_S))

    async def listen(self) -> None:
        """Go by the last dispatch table, as a proxy does."""
        topic = str(FleetTopic("f", "dispatch"))
        async with self._connection.client(identifier="proxy") as client:
            await client.subscribe(topic, qos=1)
            async for message in client.messages:
                sealed = bytes(message.payload)
                self.weights = dict(
                    decode(DispatchTable, open_envelope(sealed, [self.key], DISPATCH_TYPE)).weights
                )

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        works = [self.live(), self.listen()]
        for board in self.boards.values():
            works += [board.link.run(), board.sleeper.run()]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            await ended(*tasks)

"""Boards that sleep by the fleet's plan: a real broker, the coordinator's own parts, agents' own sleepers.

Virtual time. Each board runs its agent's sleeper, link and neighbours' orders; the door to its actuator is
the test's, which sleeps until the alarm or a packet. The test is the proxy, too: it goes by the last table.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.ports import free_port
from tests.world import Mosquitto, until

from tidewatt_agent.actuator.nap import Slept
from tidewatt_agent.config import Config as AgentConfig
from tidewatt_agent.link import Link
from tidewatt_agent.planhints import PlanHints
from tidewatt_agent.sleeping.door import Ready, SleepDoor
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.neighbours import Wakes, wakes_others
from tidewatt_agent.sleeping.sleeper import Sleeper
from tidewatt_agent.sleeping.verdict import FILE_NAME, Identity, Verdict, save
from tidewatt_coordinator.app import Coordinator, running
from tidewatt_coordinator.config import Broker, Config, Ledger, PolicyKeys
from tidewatt_coordinator.config import Coordinator as Who
from tidewatt_coordinator.hinting.settings import Planning
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_governor.boards import load_profile
from tidewatt_governor.points import usable_rps
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock, Timebase
from tidewatt_wire.messages import Birth, Counters, Gauges, Policy, Report, Rule, SleepLimits, TrustedKey
from tidewatt_wire.sleeping import magic_packet
from tidewatt_wire.topics import WakeTopic

SPEED, TICK_S, DAY_MS = 100.0, 5.0, 1_795_000_000_000
BOARD = load_profile("orin-nano-super")
POLICY = Policy(headroom=0.02, sleep=SleepLimits(longest_nap_s=300.0, wake_neighbours=True))
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

    async def ready(self) -> Ready:
        return Ready("", "boot", self._clock.now_ms() // 1000)

    async def sleep(self, for_s: float) -> Slept:
        began_s = self._clock.monotonic_s()
        self._bed.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._bed.wait(), self._clock.real_seconds(for_s))
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
        key = KeyFolder(folder / "keys").new().trusted
        self.boards = {
            name: Board(name, broker, self.clock, key, self.place, folder / name) for name in NAMES
        }
        self.weights = dict.fromkeys(NAMES, 1)
        self.demand_rps = 40.0
        self.lost = 0.0
        self.coordinator: Coordinator | None = None
        self.config = Config(
            coordinator=Who(fleet="f", listen=f"127.0.0.1:{free_port()}", name="east"),
            broker=Broker(url=broker.url),
            ledger=Ledger(url=f"sqlite:///{folder / 'ledger.db'}"),
            policy_keys=PolicyKeys(folder=str(folder / "keys")),
            dispatch=Dispatch(stale_after_s=120.0, motion=1.0, absorb_loss=False),
            planning=Planning(mode="hint", hint_s=120.0),
            policy=[Rule(policy=POLICY)],
            clock=timebase,
        )

    @property
    def asleep(self) -> set[str]:
        return {name for name, board in self.boards.items() if board.asleep}

    async def live(self) -> None:
        """Traffic by the table that stands, and the tick of everybody who is awake."""
        while True:
            if self.coordinator and (last := self.coordinator.traffic.steering.last):
                self.weights = dict(last.message.weights)
            total = sum(self.weights.get(name, 0) for name in NAMES)
            for name, board in self.boards.items():
                rps = self.demand_rps * self.weights.get(name, 0) / total
                if board.asleep:
                    self.lost += rps * TICK_S
                else:
                    board.tick(rps)
            await asyncio.sleep(self.clock.real_seconds(TICK_S))

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        works = [self.live()]
        for board in self.boards.values():
            works += [board.link.run(), board.sleeper.run()]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            await ended(*tasks)


@pytest.fixture
def world(mosquitto: Mosquitto, tmp_path: Path) -> World:
    for name in NAMES:
        (tmp_path / name).mkdir()
    return World(mosquitto, tmp_path)


async def test_boards_sleep_when_not_needed_are_woken_for_a_surge_and_by_their_alarm_alone(
    world: World,
) -> None:
    async with world.at_work():
        async with running(world.config) as coordinator:
            world.coordinator = coordinator
            await until(lambda: len(world.asleep) == 2)
            await until(lambda: _shown(coordinator) == 2)
            assert world.lost == 0.0, "who sleeps had no share before"
            # A surge that nobody foresaw: neighbours wake them long before their alarms.
            world.demand_rps = 2.5 * MOST
            await until(lambda: set(world.place.woken) >= {"b3", "b4"} or len(world.place.woken) >= 2)
            await until(lambda: not world.asleep)
            assert any(slept.early_s > 60.0 for board in world.boards.values() for slept in board.door.slept)
            await until(lambda: all(world.weights.get(name, 0) for name in NAMES))
            # And night again; this time the coordinator is gone while they sleep.
            world.demand_rps = 40.0
            world.place.woken.clear()
            await until(lambda: len(world.asleep) == 2)
            world.coordinator = None
        asleep = world.asleep
        await until(lambda: not world.asleep)
        assert asleep
        for name in asleep:
            slept = world.boards[name].door.slept[-1]
            assert slept.slept_s <= 300.0 + 60.0
            assert slept.early_s == 0.0
        assert world.place.woken == []


def _shown(coordinator: Coordinator) -> int:
    last = coordinator.traffic.plans.planner.last
    return last.shown.groups[0].asleep if last else 0

"""A fleet that is planned together: a real broker, the coordinator's own parts, and boards that decide for
themselves. Virtual time; the test is the proxy, which goes by the last table that there was.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.ports import free_port
from tests.world import Mosquitto, until

from tidewatt_agent.link import Link
from tidewatt_agent.planhints import PlanHints
from tidewatt_coordinator.app import Coordinator, running
from tidewatt_coordinator.config import Broker, Config, Ledger, PolicyKeys
from tidewatt_coordinator.config import Coordinator as Who
from tidewatt_coordinator.hinting.settings import Planning
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_governor.boards import load_profile
from tidewatt_governor.decide import Decision, GovernorState, decide, moved
from tidewatt_governor.points import usable_rps
from tidewatt_governor.sample import Load
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock, Timebase
from tidewatt_wire.messages import Birth, Counters, Gauges, Policy, Report, Rule, TrustedKey

SPEED, TICK_S, DAY_MS = 120.0, 10.0, 1_795_000_000_000
BOARD = load_profile("orin-nano-super")
#: A lean headroom: the plan's margin is over the fleet, and never less than the boards' own.
POLICY = Policy(headroom=0.02)
NAMES = ("b1", "b2", "b3")


async def ignore(_payload: bytes) -> None:
    """The built-in policy holds."""


class Board:
    """One agent on a simulated board, with the parts that a hint goes through."""

    def __init__(self, name: str, broker: Mosquitto, clock: Clock, key: TrustedKey) -> None:
        self.name, self._clock = name, clock
        self.hints = PlanHints("f", name, lambda: [key], clock)
        self.state = GovernorState(point="25W", since_s=clock.monotonic_s())
        self.decision = Decision(point="25W", rule="", reason="")
        self._requests, self._seq = 0.0, 0
        birth = Birth(
            device=name, session="s", epoch="e", at_ms=clock.now_ms(), version="0", board=BOARD.name,
            control="enforce", points=BOARD.points, vendor_default=BOARD.vendor_default,
        )  # fmt: skip
        self.link = Link(Connection(broker.url), "f", lambda: birth, ignore, on_plan=self.hints.take)
        self.link.follow(self.hints.topics)

    @property
    def hinted(self) -> bool:
        return self.hints.at(self._clock.now_ms(), self._clock.monotonic_s()) is not None

    def tick(self, rps: float) -> None:
        now_s, at_ms = self._clock.monotonic_s(), self._clock.now_ms()
        load = Load(requests=round(rps * TICK_S), interval_s=TICK_S)
        self.state, self.decision = decide(
            self.state, load, POLICY, BOARD.points, BOARD.vendor_default, now_s,
            hint=self.hints.at(at_ms, now_s),
        )  # fmt: skip
        self.state = moved(self.state, self.decision.point, now_s)
        self._requests, self._seq = self._requests + rps * TICK_S, self._seq + 1
        self.link.send(
            Report(
                device=self.name, session="s", epoch="e", seq=self._seq, at_ms=at_ms,
                counters=Counters(requests=round(self._requests)),
                gauges=Gauges(point=self.state.point, requests_rps=rps),
            )
        )  # fmt: skip


class World:
    """Boards behind a proxy that follows the dispatch table."""

    def __init__(self, broker: Mosquitto, folder: Path) -> None:
        timebase = Timebase(DAY_MS, time.monotonic(), SPEED)
        self.clock = Clock(time.monotonic, time.time, timebase)
        key = KeyFolder(folder / "keys").new().trusted
        self.boards = {name: Board(name, broker, self.clock, key) for name in NAMES}
        self.weights = dict.fromkeys(NAMES, 1)
        self.demand_rps = 330.0
        self.coordinator: Coordinator | None = None
        self.config = Config(
            coordinator=Who(fleet="f", listen=f"127.0.0.1:{free_port()}", name="east"),
            broker=Broker(url=broker.url),
            ledger=Ledger(url=f"sqlite:///{folder / 'ledger.db'}"),
            policy_keys=PolicyKeys(folder=str(folder / "keys")),
            dispatch=Dispatch(stale_after_s=60.0, motion=1.0),
            planning=Planning(mode="hint", hint_s=300.0),
            policy=[Rule(policy=POLICY)],
            clock=timebase,
        )

    @property
    def points(self) -> dict[str, str]:
        return {name: board.state.point for name, board in self.boards.items()}

    @property
    def planned(self) -> dict[str, str]:
        last = self.coordinator.traffic.plans.planner.last if self.coordinator else None
        return {one.device: one.point for one in last.shown.devices} if last else {}

    @property
    def rules(self) -> set[str]:
        return {board.decision.rule for board in self.boards.values()}

    async def live(self) -> None:
        """Traffic by the table that stands, and everybody's tick."""
        while True:
            if self.coordinator and (last := self.coordinator.traffic.steering.last):
                self.weights = dict(last.message.weights)
            total = sum(self.weights.get(name, 0) for name in NAMES)
            for name, board in self.boards.items():
                board.tick(self.demand_rps * self.weights.get(name, 0) / total)
            await asyncio.sleep(self.clock.real_seconds(TICK_S))

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        works = [self.live(), *(board.link.run() for board in self.boards.values())]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            await ended(*tasks)


async def test_boards_follow_the_plan_and_go_back_to_their_own_rule_when_nobody_plans(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    world = World(mosquitto, tmp_path)
    async with world.at_work():
        async with running(world.config) as coordinator:
            world.coordinator = coordinator
            await until(lambda: all(board.hinted for board in world.boards.values()))
            # What all together need is less than each of them would stand at alone.
            await until(lambda: world.points == world.planned and len(set(world.points.values())) > 1)
            usable = sum(usable_rps(BOARD.point(one), POLICY.slo_p95_ms) for one in world.points.values())
            assert usable >= world.demand_rps
            world.demand_rps = 520.0
            before = sum(map(_usable, world.points.values()))
            await until(
                lambda: world.points == world.planned and sum(map(_usable, world.points.values())) > before
            )
            world.coordinator = None
        await until(lambda: not any(board.hinted for board in world.boards.values()))
        await until(lambda: "hint" not in world.rules)
    assert {sum(board.hints.refused.values()) for board in world.boards.values()} == {0}


def _usable(point: str) -> float:
    return usable_rps(BOARD.point(point), POLICY.slo_p95_ms)

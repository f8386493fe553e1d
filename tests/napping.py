"""An agent's way to sleep with the world at its edge in our hands: it can be killed at any step."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from tests.sealing import FLEETS_KEY
from tests.world import HandClock

from tidewatt_agent.actuator.nap import Slept
from tidewatt_agent.config import Agent, Board, Config, Reader, Sleep, State
from tidewatt_agent.sleeping import verdict
from tidewatt_agent.sleeping.door import Ready, StayedAwakeError
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.judge import Facts
from tidewatt_agent.sleeping.napfile import NapFile
from tidewatt_agent.sleeping.sleeper import BOOT_ID, Sleeper
from tidewatt_agent.sleeping.sleeper import State as Told
from tidewatt_agent.sleeping.verdict import Identity, Verdict, save
from tidewatt_link.ending import ended
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Counters, Gauges, Policy, Report, SleepLimits
from tidewatt_wire.messages import Verdict as Decided
from tidewatt_wire.signing import HINT_TYPE, seal
from tidewatt_wire.sleeping import SleepHint, SleepState

NOW_MS = 1_795_000_000_000
POLICY = Policy(sleep=SleepLimits(longest_nap_s=1800.0))
IDENTITY = Identity(kernel="5.15", jetpack="R36", application="v1")
GOOD = Verdict(identity=IDENTITY, at_ms=0, passed=True, cycles=20, asleep_watts=0.5, resume_s=20.0)


def hint_of(for_s: float = 3600.0, **more: Any) -> SleepHint:
    """To sleep for so many seconds from NOW_MS on."""
    return SleepHint(**{
        "fleet": "f", "device": "d", "issued_at_ms": NOW_MS, "expires_at_ms": NOW_MS + 10**9,
        "serve_at_ms": NOW_MS + round(for_s * 1000), **more,
    })  # fmt: skip


def facts_of(policy: Policy = POLICY, outcome: str = "unchanged", acts: bool = True, **gauges: Any) -> Facts:
    """Of a tick at NOW_MS, at which nobody needs the board."""
    report = Report(
        device="d", session="s", epoch="e", seq=1, at_ms=NOW_MS, counters=Counters(),
        gauges=Gauges(**{"requests_rps": 0.0, **gauges}),
        verdict=Decided(point="7W", rule="r", reason="r", outcome=outcome),  # type: ignore[arg-type]
    )  # fmt: skip
    return Facts(at_ms=NOW_MS, now_s=0.0, acts=acts, policy=policy, report=report)


class Killed(BaseException):
    """kill -9, at a step that was counted to."""


class World:
    """Actuator, broker and hooks at the agent's edge: what happened, in its order, until it is killed."""

    def __init__(self, folder: Path, clock: HandClock, life: int = 0) -> None:
        self.folder, self.clock, self.life = folder, clock, life
        self.deeds: list[str] = []
        self.broker_life = 0
        self.connected = True
        self.refuses = self.late = False
        self.application: list[str] = []
        self.deaf = False
        self.refused = False
        self.word: SleepState | None = None
        self.hints = Hints("f", "d", lambda: [FLEETS_KEY.trusted])
        self.retained = seal(encode(hint_of()), [FLEETS_KEY], HINT_TYPE)
        self.counted: list[tuple[float, float | None]] = []
        (folder / "root" / BOOT_ID).parent.mkdir(parents=True, exist_ok=True)
        (folder / "root" / BOOT_ID).write_text("boot")

    def step(self, deed: str) -> None:
        self.life -= 1
        self.broker_life -= 1
        if self.broker_life == 0:
            self.deaf, self.connected = True, False
        if self.life == 0:
            raise Killed
        self.deeds.append(deed)

    # The link.
    def say(self, state: Told) -> None:
        self.word = state("s")

    async def rest(self, state: Told, _within_s: float) -> bool:
        self.step("told")
        if not self.deaf:
            self.word, self.connected = state("s"), False
        return not self.deaf

    def wake(self, state: Told) -> None:
        if self.deaf and not self.connected:
            return  # there is no broker to come back to
        self.word, self.connected = state("t"), True
        if self.retained:  # as at every connection
            self.hints.take(self.retained)

    # The actuator's door.
    async def ready(self) -> Ready:
        self.step("ready")
        return Ready("", "boot", self.clock.now_ms() // 1000)

    async def sleep(self, for_s: float) -> Slept:
        if self.refuses:
            raise StayedAwakeError("no alarm, no sleep: EBUSY")
        self.step("asleep")
        late_s = 300.0 if self.late else 0.0
        self.clock.move(for_s + late_s + 2.0)
        self.step("awake")
        return Slept(for_s + late_s, late_s, 0.0, 2.0)

    def sleeper(self) -> Sleeper:
        config = Config(
            agent=Agent(fleet="f", device="d"), board=Board(actuator_socket="a"),
            reader=Reader(root=str(self.folder / "root")),
            state=State(folder=str(self.folder)),
            sleep=Sleep(
                before=["sh", "-c", f"echo before >> {self.folder}/hooks"], quiet_s=10.0,
                application=self.application,
                after=["sh", "-c", f"echo after >> {self.folder}/hooks"], ready_s=0.1,
            ),
        )  # fmt: skip
        self.hints.take(self.retained)
        door: Any = self
        return Sleeper(
            config, self.clock, door, self, self.hints, lambda s, w: self.counted.append((s, w)), lambda: True
        )


async def ticks(world: World, sleeper: Sleeper, number: int) -> None:
    """So many, 11 s apart."""
    for _ in range(number):
        world.clock.move(11.0)
        at_ms, now_s = world.clock.now_ms(), world.clock.monotonic_s()
        await sleeper.step(msgspec.structs.replace(facts_of(), at_ms=at_ms, now_s=now_s))


async def started(world: World) -> Sleeper:
    """An agent's start, as far as sleep goes."""
    sleeper = world.sleeper()
    task = asyncio.create_task(sleeper.run())
    for _ in range(6000):
        await asyncio.sleep(0.005)
        if not NapFile(world.folder / "nap.json").load():
            break
    await ended(task)
    return sleeper


def world_of(folder: Path, life: int = 0) -> World:
    """One whose board has passed its trial; `life`: the step at which it is killed, counted from 1."""
    found = msgspec.structs.replace(GOOD, identity=Identity(kernel="", jetpack="", application=""))
    save(folder / verdict.FILE_NAME, found)
    return World(folder, HandClock(NOW_MS), life)

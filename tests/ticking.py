"""A tick with the world in our hands: reader, load and hands that do as told."""

import msgspec
import pytest

from tidewatt_agent.hands import NoReboots, Outcome, Stance
from tidewatt_agent.journal import TickRecord
from tidewatt_agent.policies import Policies
from tidewatt_agent.readers import TimedSample
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_agent.tick import Identity, Tick
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.sample import Load
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Policy


class World(NoReboots):
    """A reader, a load and hands that do as told."""

    acts = True

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lines: list[str] = []
        self.events: dict[str, int] = {}
        self.load: Load | None = None
        self.stands: str | None = "25W"
        self.seen = self.changed = True
        self.pinned: tuple[str, ...] = ()
        self.obeys = True
        self.asked: list[str] = []

    def take(self) -> list[TimedSample]:
        samples = [msgspec.structs.replace(parse_line(line), over_current=self.events) for line in self.lines]
        taken = [TimedSample(self.clock.monotonic_s(), sample) for sample in samples]
        self.lines = []
        return taken

    def ask(self) -> None:
        pass

    async def read(self, now_s: float) -> Load | None:
        return self.load

    async def look(self) -> Stance:
        return Stance(self.stands, seen=self.seen, changed=self.changed, pinned=self.pinned)

    async def go_to(self, point: str) -> Outcome:
        self.asked.append(point)
        if not self.obeys:
            return Outcome("refused", self.stands, "no")
        self.stands = point
        return Outcome("applied", point)

    async def restore(self) -> None: ...

    async def close(self) -> None: ...


POLICIES = Policies("f", "d", {})


def line(watts: float, celsius: float = 50.5) -> str:
    """What tegrastats says at such a draw."""
    return f"RAM 1/2MB (lfb 1x2MB) CPU [3%@100] tj@{celsius}C VDD_IN {round(watts * 1000)}mW/1mW"


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


@pytest.fixture
def journal() -> list[TickRecord]:
    return []


@pytest.fixture
def tick(world: World, profile: BoardProfile, journal: list[TickRecord]) -> Tick:
    identity = Identity("d", "s", "e")
    policies = Policies("f", "d", {})
    return Tick(identity, profile, world.clock, world, world, world, policies, 10.0, journal=journal.append)


class Wilful(Policies):
    """Policies with one policy."""

    def __init__(self, policy: Policy) -> None:
        super().__init__("f", "d", {})
        self.policy = policy

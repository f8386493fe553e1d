"""Caps in the agent: put on when the mode stands, gone when nobody follows them, replayed as they were."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
import pytest
from tests.world import HandClock, until

from tidewatt_agent.hands import FoldedHands, NoReboots, Outcome, SocketHands, Stance
from tidewatt_agent.journal import TickRecord
from tidewatt_agent.policies import Policies
from tidewatt_agent.readers import TimedSample
from tidewatt_agent.replay import replay
from tidewatt_agent.standin.actuator import BoardActuator
from tidewatt_agent.standin.board import compose
from tidewatt_agent.standin.room import Room
from tidewatt_agent.tick import Identity, Tick
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.sample import Load
from tidewatt_governor.simulate import board as simulated
from tidewatt_governor.traffic import Trace
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Policy, Report

MHZ = 1_000_000
CAPPED: dict[str, int | None] = {"gpu": 612 * MHZ}
FREE: dict[str, int | None] = {"gpu": None}


class World(NoReboots):
    """A load and hands that do as told; 25W alone, so that only caps move."""

    acts = True

    def __init__(self) -> None:
        self.load: Load | None = Load(requests=800, interval_s=10.0)
        self.stands = "25W"
        self.caps: dict[str, int] = {"gpu": 918 * MHZ, "policy0": 1344 * MHZ}
        self.seen, self.changed, self.takes, self.shows = True, False, True, True
        self.pinned: tuple[str, ...] = ()
        self.asked: list[dict[str, int | None]] = []
        self.went: list[str] = []

    def take(self) -> list[TimedSample]:
        return []

    def ask(self) -> None:
        pass

    async def read(self, now_s: float) -> Load | None:
        return self.load

    async def look(self) -> Stance:
        return Stance(self.stands, seen=self.seen, changed=self.changed, pinned=self.pinned, caps=self.caps)

    async def go_to(self, point: str) -> Outcome:
        self.went.append(point)
        self.stands, self.changed = point, True
        self.caps = self.caps | {"gpu": 918 * MHZ}
        return Outcome("applied", point)

    async def trim(self, caps: Mapping[str, int | None]) -> Outcome:
        self.asked.append(dict(caps))
        if not self.takes:
            return Outcome("refused", self.stands, "no")
        self.changed = True
        if self.shows:
            self.caps = self.caps | {name: hertz or 918 * MHZ for name, hertz in caps.items()}
        return Outcome("applied", self.stands)

    async def restore(self) -> None: ...

    async def close(self) -> None: ...


class One(Policies):
    """Policies with one policy."""

    def __init__(self, policy: Policy) -> None:
        super().__init__("f", "d", {})
        self.policy = policy


ONLY_25W = Policy(allowed_points=["25W"], stand_down_s=100.0)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def journal() -> list[TickRecord]:
    return []


@pytest.fixture
def tick(world: World, profile: BoardProfile, clock: HandClock, journal: list[TickRecord]) -> Tick:
    return governing(world, profile, clock, journal, ONLY_25W)


def governing(
    world: World, profile: BoardProfile, clock: Clock, journal: list[TickRecord], policy: Policy
) -> Tick:
    identity = Identity("d", "s", "e")
    return Tick(identity, profile, clock, world, world, world, One(policy), 10.0, journal=journal.append)


async def live(tick: Tick, clock: HandClock, seconds: int) -> Report:
    for _ in range(seconds):
        report = await tick()
        clock.move(1.0)
    return report


async def test_capped_once_and_let_go_at_once(
    tick: Tick, world: World, clock: HandClock, journal: list[TickRecord]
) -> None:
    report = await live(tick, clock, 30)
    assert world.asked == [CAPPED], "once, not every tick"
    assert report.verdict
    assert report.verdict.reason.endswith("capped to gpu 612 MHz for 92 rps")
    assert report.verdict.outcome == "unchanged"
    world.load = Load(requests=3000, interval_s=10.0)
    await tick()
    assert world.asked == [CAPPED, FREE], "in the tick that sees the load"
    assert [record.trimmed.kind for record in journal if record.trimmed] == ["applied", "applied"]
    assert world.went == []


async def test_unknown_load_takes_them_away(tick: Tick, world: World, clock: HandClock) -> None:
    await live(tick, clock, 30)
    world.load = None
    await live(tick, clock, 5)
    assert world.asked == [CAPPED, FREE]


async def test_a_refused_trim_is_not_asked_for_every_tick(
    tick: Tick, world: World, clock: HandClock, journal: list[TickRecord]
) -> None:
    world.takes, world.changed = False, True
    await live(tick, clock, 13)
    assert world.asked[0] == CAPPED
    assert world.asked.count(CAPPED) == 1
    assert FREE in world.asked, "who knows what it did"
    assert journal[-1].barred == ["25W/gpu 612 MHz"]
    world.takes = True
    await live(tick, clock, 20)
    assert world.asked.count(CAPPED) == 1
    assert world.asked[-1] == FREE
    await live(tick, clock, 30)
    assert world.asked[-1] == CAPPED
    assert world.caps["gpu"] == 612 * MHZ


async def test_caps_that_went_are_put_on_again(tick: Tick, world: World, clock: HandClock) -> None:
    await live(tick, clock, 20)
    world.caps = world.caps | {"gpu": 918 * MHZ}
    await tick()
    assert world.asked == [CAPPED, CAPPED], "somebody lifted it"
    clock.move(1.0)
    world.caps, world.changed = world.caps | {"gpu": 918 * MHZ}, False
    await tick()
    assert world.asked == [CAPPED] * 3, "the actuator put the board back"
    clock.move(1.0)
    world.seen = False
    await live(tick, clock, 5)
    assert world.asked == [CAPPED] * 3, "nothing is asked blindly"


async def test_a_switch_takes_them_with_it(
    world: World, profile: BoardProfile, clock: HandClock, journal: list[TickRecord]
) -> None:
    tick = governing(
        world, profile, clock, journal, Policy(allowed_points=["7W", "25W"], demand_window_s=60.0)
    )
    await live(tick, clock, 100)
    assert world.asked == [CAPPED]
    await live(tick, clock, 60)
    assert world.went == ["7W"], "after the dwell"
    assert world.asked == [CAPPED], "the mode took the caps with it"
    world.load = Load(requests=3000, interval_s=10.0)
    await live(tick, clock, 3)
    assert world.went == ["7W", "25W"]
    assert world.asked == [CAPPED]


async def test_who_stands_down_leaves_no_caps(tick: Tick, world: World, clock: HandClock) -> None:
    await live(tick, clock, 20)
    world.pinned = ("policy0",)
    report = await tick()
    assert report.verdict
    assert report.verdict.outcome == "drifted"
    assert world.asked == [CAPPED, FREE], "nobody would follow them"


async def test_a_clock_that_our_cap_holds_is_pinned_by_nobody(
    tick: Tick, world: World, clock: HandClock
) -> None:
    await live(tick, clock, 20)
    world.pinned = ("gpu",)
    report = await live(tick, clock, 3)
    assert report.verdict
    assert report.verdict.outcome == "unchanged"


async def test_observing_caps_nothing(
    world: World, profile: BoardProfile, clock: HandClock, journal: list[TickRecord]
) -> None:
    folded = FoldedHands(world)
    tick = Tick(Identity("d", "s", "e"), profile, clock, world, world, folded, One(ONLY_25W), 10.0)
    report = await live(tick, clock, 30)
    assert report.verdict
    assert "capped to gpu 612 MHz" in report.verdict.reason
    assert world.asked == []
    assert (await folded.trim(CAPPED)).kind == "observed"


async def test_minutes_under_caps_teach_nothing_of_the_mode(
    tick: Tick, world: World, clock: HandClock
) -> None:
    await live(tick, clock, 200)
    assert tick._learning._since is None


async def test_replayed_as_it_was(
    tick: Tick, world: World, clock: HandClock, journal: list[TickRecord], profile: BoardProfile
) -> None:
    for requests, takes in ((800, True), (3000, True), (900, False), (700, True), (2500, True), (0, True)):
        world.load, world.takes = Load(requests=requests, interval_s=10.0), takes
        await live(tick, clock, 25)
    world.load = None
    await live(tick, clock, 5)
    lines = [msgspec.json.encode(record).decode() for record in journal]
    replayed = list(replay(lines, profile))
    assert all(one.same for one in replayed)
    assert {one.decision.trim for one in replayed} == {None, "gpu 612 MHz"}


async def test_through_the_socket_to_the_simulated_board(tmp_path: Path, profile: BoardProfile) -> None:
    """The product's own actuator on the stand-in's files: what its nodes show is what the board runs at."""
    compose(profile, tmp_path / "root")

    def trim() -> str | None:
        return room.boards["d"].state.trim

    room = Room(["d"], profile, Trace(start_ms=0, step_ms=60_000, rps=(0.0,)), 0, 1)
    switch, cap = partial(room.set_mode, "d"), partial(room.set_caps, "d")
    door = BoardActuator(tmp_path / "root", tmp_path / "door", lambda mode: void(switch(mode)), cap)
    hands = SocketHands(str(tmp_path / "door"), profile.points)
    try:
        assert (await hands.look()).caps["gpu"] == 918 * MHZ
        outcome = await hands.trim(CAPPED)
        assert (outcome.kind, outcome.point) == ("applied", "25W")
        stance = await hands.look()
        assert (stance.point, stance.changed, stance.caps["gpu"]) == ("25W", True, 612 * MHZ)
        assert trim() == "gpu 612 MHz"
        assert (await hands.trim(CAPPED)).kind == "unchanged"
        assert (await hands.trim({"gpu": 408 * MHZ})).kind == "applied"
        assert trim() is None, "the profile doesn't know it: the board runs as the mode"
        refused = await hands.trim({"gpu": 1020 * MHZ})
        assert (refused.kind, refused.point) == ("refused", "25W")
        assert "above the 918000000 Hz of 25W" in refused.detail
        await hands.trim(CAPPED)
        assert (await hands.go_to("15W")).kind == "applied"
        assert (room.boards["d"].state.point, trim()) == ("15W", None)
        await hands.go_to("25W")
        assert (await hands.look()).caps["gpu"] == 918 * MHZ, "no cap survives a switch"
        await hands.trim(CAPPED)
        await hands.restore()
        assert trim() is None
        assert (await hands.look()).changed is False
    finally:
        await hands.close()
        await asyncio.to_thread(door.stop)
    assert (await hands.trim(CAPPED)).reached is False


async def test_who_goes_away_leaves_no_caps(tmp_path: Path, profile: BoardProfile) -> None:
    compose(profile, tmp_path / "root")
    seen: list[dict[str, int]] = []
    door = BoardActuator(tmp_path / "root", tmp_path / "door", lambda _mode: None, seen.append)
    try:
        hands = SocketHands(str(tmp_path / "door"), profile.points)
        await hands.trim(CAPPED)
        await hands.close()
        await until(lambda: len(seen) == 2)
        assert [caps["gpu"] for caps in seen] == [612 * MHZ, 918 * MHZ]
    finally:
        await asyncio.to_thread(door.stop)


def void(_answer: object) -> None: ...


def test_a_trimmed_board_draws_less_and_pauses_for_nothing(profile: BoardProfile) -> None:
    shown = {"cpu": 1_344_000_000, "gpu": 612 * MHZ, "emc": 3_199_000_000}
    mode = simulated.switched_on(profile)
    trimmed = simulated.set_caps(mode, profile, shown)
    assert (trimmed.trim, trimmed.pause_s, trimmed.switches) == ("gpu 612 MHz", 0.0, 0)
    free, capped = (simulated.advance(state, profile, 60.0, 100.0) for state in (mode, trimmed))
    assert free.energy_j - capped.energy_j == pytest.approx(60.0 * (4.8 - 4.5 + 100 * (0.03697 - 0.0366)))
    assert capped.latency_sum_s > free.latency_sum_s
    assert simulated.set_point(capped, profile, "25W").trim is None, "nvpmodel sets every cap anew"

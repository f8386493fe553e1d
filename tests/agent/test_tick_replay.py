"""What a tick writes into its journal replays to the same decisions."""

import msgspec
import pytest
from tests.ticking import POLICIES, Wilful, World, journal, line, tick, world
from tests.world import HandClock

from tidewatt_agent.hands import FoldedHands
from tidewatt_agent.journal import TickRecord
from tidewatt_agent.replay import JournalError, replay
from tidewatt_agent.tick import Identity, Tick
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.points import watts_at
from tidewatt_governor.sample import Load
from tidewatt_governor.situation import Situation
from tidewatt_wire.messages import MaintenanceWindow, Policy

__all__ = ["journal", "tick", "world"]  # the fixtures


async def test_a_journal_replays_to_the_same_decisions(
    tick: Tick, world: World, clock: HandClock, journal: list[TickRecord], profile: BoardProfile
) -> None:
    for minute in range(120):
        world.load = None if minute % 17 == 0 else Load(requests=(minute * 377) % 18_000, interval_s=60.0)
        world.obeys = minute % 5 != 0
        await tick()
        clock.move(60.0)
    lines = [msgspec.json.encode(record).decode() for record in journal]
    replayed = list(replay(lines, profile))
    assert len(replayed) == 120
    assert all(one.same for one in replayed)
    assert len({one.decision.point for one in replayed}) > 1
    assert replayed[1].sentence().endswith(replayed[1].decision.reason)

    other = lines[3].replace(journal[3].decision.reason, "something else")
    assert not list(replay([*lines[:3], other], profile))[3].same
    with pytest.raises(JournalError, match="line 2 is not a tick record"):
        list(replay([lines[0], "{}"], profile))


async def test_a_night_of_limits_replays_to_the_letter(
    world: World, clock: HandClock, profile: BoardProfile, journal: list[TickRecord]
) -> None:
    """Watched from outside, and enforced, one run after the other in one journal."""
    window = MaintenanceWindow(start="00:30", minutes=30)
    policy = Policy(
        watts_budget=14.0,
        max_over_current_per_min={"oc3": 60.0},
        slo_budget=0.01,
        quiet_hours=[window],
        max_switches_per_hour=6,
    )
    for hands in (FoldedHands(world), world):
        tick = Tick(
            Identity("d", "s", "e"), profile, clock, world, world, hands, Wilful(policy), 90.0,
            journal=journal.append,
        )  # fmt: skip
        for minute in range(200):
            world.load = Load(requests=(minute * 377) % 18_000, interval_s=60.0)
            point = profile.point(world.stands or "7W")
            world.lines = [line(1.1 * watts_at(point, world.load.rps), 50 + minute // 4)]
            world.events = {"oc3": 30 * minute + 50 * min(max(0, minute - 100), 10)}
            await tick()
            clock.move(60.0)
    assert {"temperature", "watts_budget", "over_current"} <= {record.decision.rule for record in journal}
    assert {record.situation.quiet for record in journal} == {False, True}
    replayed = list(replay([msgspec.json.encode(record).decode() for record in journal], profile))
    assert [one.decision for one in replayed] == [record.decision for record in journal]


async def test_what_an_observed_board_draws_says_nothing_of_the_point_it_would_be_at(
    world: World, clock: HandClock, profile: BoardProfile, journal: list[TickRecord]
) -> None:
    tick = Tick(
        Identity("d", "s", "e"), profile, clock, world, world, FoldedHands(world), POLICIES, 10.0,
        journal=journal.append,
    )  # fmt: skip
    world.load = Load(requests=500, interval_s=10.0)
    for _ in range(30):
        world.lines = [line(8.0)]
        await tick()
        clock.move(10.0)
    assert journal[0].situation.watts == 8.0
    assert journal[0].situation.temperature_c == 50.5
    assert journal[-1].stands == "7W", "where it would be by now; the board is at 25W"
    assert journal[-1].situation == Situation()


async def test_what_the_board_draws_is_learned_journalled_and_decided_by(
    tick: Tick, world: World, clock: HandClock, journal: list[TickRecord], profile: BoardProfile
) -> None:
    for number in range(600):
        rps = 240 + number // 6 % 10
        world.load = Load(requests=rps * 10, interval_s=10.0)
        world.lines = [line(1.2 * (4.8 + 0.03697 * rps))]
        report = await tick()
        clock.move(10.0)
    assert report.gauges.point == "25W"
    news = [record for record in journal if record.learned]
    assert 90 <= len(news) <= 100, "told when it is news: once a minute"
    (learned,) = [point for point in news[-1].learned if point.name == "25W"]
    assert learned.idle_watts > 1.05 * 4.8
    assert report.counters.modelled_mj > 1.15 * 6000 * (4.8 + 0.03697 * 240) * 1000 * 0.95
    lines = [msgspec.json.encode(record).decode() for record in journal]
    assert all(one.same for one in replay(lines, profile)), "and replayed with what was known then"


async def test_overload_replays_as_overload(
    tick: Tick, world: World, clock: HandClock, journal: list[TickRecord], profile: BoardProfile
) -> None:
    world.load = Load(requests=2500, interval_s=10.0, p95_ms=float("inf"))
    for _ in range(20):
        world.lines = [line(9.0)]
        await tick()
        clock.move(10.0)
    lines = [msgspec.json.encode(record).decode() for record in journal]
    assert all(record.load and record.load.p95_ms and record.load.p95_ms > 1e6 for record in journal)
    assert all(one.same for one in replay(lines, profile))

"""Who else sets the board's mode is seen at the next tick, and gets what the policy says: no fight."""

import pytest
from tests.ticking import POLICIES, Wilful, World, journal, tick, world
from tests.world import HandClock

from tidewatt_agent.tick import Identity, Tick
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.sample import Load
from tidewatt_wire.messages import Policy

__all__ = ["journal", "tick", "world"]  # the fixtures


async def test_somebody_elses_switch_is_seen(tick: Tick, world: World, clock: HandClock) -> None:
    world.load = Load(requests=2500, interval_s=10.0)
    await tick()
    world.stands = "MAXN_SUPER"
    clock.move(1.0)
    report = await tick()
    assert report.verdict is not None
    assert report.verdict.outcome == "drifted"
    assert report.gauges.point == "MAXN_SUPER"
    assert report.counters.switches == 0


async def drifting(world: World, clock: HandClock, profile: BoardProfile, policy: Policy) -> list[str]:
    """The outcomes of 40 ticks, 10 s apart, in which somebody sets MAXN_SUPER at the 2nd, 3rd and 4th."""
    tick = Tick(Identity("d", "s", "e"), profile, clock, world, world, world, Wilful(policy), 10.0)
    world.load = Load(requests=500, interval_s=10.0)
    outcomes: list[str] = []
    for number in range(40):
        if number in (1, 2, 3):
            world.stands = "MAXN_SUPER"
        report = await tick()
        assert report.verdict is not None
        outcomes.append(report.verdict.outcome)
        clock.move(10.0)
    return outcomes


async def test_a_rival_is_left_alone_for_a_while(
    world: World, clock: HandClock, profile: BoardProfile, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Policy(min_dwell_s=0.0, switch_cost_j=0.0, stand_down_s=200.0)
    outcomes = await drifting(world, clock, profile, policy)
    assert outcomes[0] == "applied", "to 7W"
    assert outcomes[1:20] == ["drifted"] * 19
    assert "applied" in outcomes[20:], "and after the while it is the governor's again"
    assert caplog.text.count("somebody set MAXN_SUPER where we had set 7W: stand_down") == 1


async def test_or_set_again_but_not_in_a_fight(world: World, clock: HandClock, profile: BoardProfile) -> None:
    policy = Policy(min_dwell_s=0.0, switch_cost_j=0.0, on_drift="reassert", reassert_after_s=60.0)
    outcomes = await drifting(world, clock, profile, policy)
    assert outcomes[:2] == ["applied", "applied"]
    assert outcomes[2:7] == ["drifted"] * 5, "at most once a minute"
    assert "applied" in outcomes[7:9]


@pytest.mark.parametrize("between", [None, "unseen"])
async def test_a_rival_is_noticed_by_way_of_no_mode_or_a_missed_look(
    world: World, clock: HandClock, profile: BoardProfile, between: str | None
) -> None:
    tick = Tick(Identity("d", "s", "e"), profile, clock, world, world, world, POLICIES, 10.0)
    world.load = Load(requests=2500, interval_s=10.0)
    await tick()
    clock.move(1.0)
    world.stands, world.seen = None, between is None
    first = await tick()
    clock.move(1.0)
    world.stands, world.seen = "7W", True
    second = await tick()
    assert first.verdict
    assert second.verdict
    assert first.verdict.outcome == ("drifted" if between is None else "unchanged")
    assert second.verdict.outcome == "drifted"
    assert world.asked == []


async def test_jetson_clocks_is_a_rival(world: World, clock: HandClock, profile: BoardProfile) -> None:
    tick = Tick(Identity("d", "s", "e"), profile, clock, world, world, world, POLICIES, 10.0)
    world.load = Load(requests=2500, interval_s=10.0)
    world.pinned = ("gpu",)
    outcomes = []
    for pinned in (("gpu",), ("gpu",), ("gpu", "policy0"), ("gpu", "policy0")):
        world.pinned = pinned
        report = await tick()
        assert report.verdict
        outcomes.append(report.verdict.outcome)
        clock.move(1.0)
    assert outcomes == ["unchanged", "unchanged", "drifted", "drifted"], "what was found pinned is no news"


async def test_what_the_actuator_puts_back_is_nobodys_drift(
    world: World, clock: HandClock, profile: BoardProfile
) -> None:
    policy = Policy(min_dwell_s=0.0, switch_cost_j=0.0)
    tick = Tick(Identity("d", "s", "e"), profile, clock, world, world, world, Wilful(policy), 10.0)
    world.load = Load(requests=500, interval_s=10.0)
    await tick()
    assert world.stands == "7W"
    clock.move(10.0)
    world.stands, world.changed = "25W", False
    report = await tick()
    assert report.verdict
    assert report.verdict.outcome == "applied", "it is brought to where the load wants it at once"
    assert world.asked == ["7W", "7W"]


async def test_reasserting_waits_for_no_dwell(world: World, clock: HandClock, profile: BoardProfile) -> None:
    policy = Policy(min_dwell_s=600.0, on_drift="reassert", reassert_after_s=60.0)
    tick = Tick(Identity("d", "s", "e"), profile, clock, world, world, world, Wilful(policy), 10.0)
    world.load = Load(requests=500, interval_s=10.0)
    for _ in range(70):
        await tick()
        clock.move(10.0)
    assert world.stands == "7W"
    applied_s = []
    for second in range(0, 300, 10):
        if second in (0, 10, 20, 130):
            world.stands = "MAXN_SUPER"
        before = len(world.asked)
        await tick()
        clock.move(10.0)
        applied_s += [second] * (len(world.asked) - before)
        assert world.asked[-1] == "7W"
    assert applied_s == [0, 60, 130]

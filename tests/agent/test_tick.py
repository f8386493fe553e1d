"""A tick with the world in our hands: what is unknown stays unknown, and deeds are what the board shows."""

from pathlib import Path

import pytest
from tests.ticking import POLICIES, Wilful, World, journal, line, tick, world
from tests.world import HandClock

from tidewatt_agent.hands import FoldedHands
from tidewatt_agent.journal import TickRecord
from tidewatt_agent.policies import Policies
from tidewatt_agent.power import Calibration, PowerRule
from tidewatt_agent.sysfs.battery import Battery
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.tick import Identity, Tick
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.sample import Load
from tidewatt_wire.messages import Counters, Policy

__all__ = ["journal", "tick", "world"]  # the fixtures


async def test_nothing_known_is_nothing_reported(tick: Tick, world: World, clock: HandClock) -> None:
    world.stands, world.seen = None, False
    report = await tick()
    assert report.counters == Counters(mode_ms={"unknown": 0})
    assert report.gauges.point is None, "a mode that can't be read isn't the vendor's default"
    assert report.gauges.watts is None
    assert report.gauges.requests_rps is None
    assert report.gauges.temperature_c is None
    assert report.verdict is not None
    assert report.verdict.reason == "load unknown for 0 s of 15 s grace: hold 25W"
    world.load = None
    clock.move(20.0)
    report = await tick()
    assert report.verdict is not None
    assert report.verdict.reason == "load unknown: hold the vendor default 25W"
    assert report.counters == Counters(mode_ms={"unknown": 20_000}, unjudged_ms=20_000, unmeasured_ms=20_000)
    assert world.asked == []


async def test_observing_follows_the_governor_and_estimates_what_it_would_save(
    world: World, clock: HandClock, profile: BoardProfile
) -> None:
    tick = Tick(Identity("d", "s", "e"), profile, clock, world, world, FoldedHands(world), POLICIES, 10.0)
    world.load = Load(requests=500, interval_s=10.0)
    outcomes = []
    for _ in range(40):
        report = await tick()
        assert report.verdict is not None
        outcomes.append(report.verdict.outcome)
        clock.move(10.0)
    assert world.asked == [], "nothing is changed"
    assert report.gauges.point == "25W", "the board's own mode"
    assert outcomes.count("observed") == 1, "it would step down once, and then stand there"
    # 25W at 50 rps: 4.8 + 50 x 0.03697 = 6.65 W; 7W: 3.5 + 50 x 0.02917 = 4.96 W; down after 120 s of dwell.
    assert report.counters.modelled_mj == pytest.approx(390 * 6648.5, abs=40)
    assert report.counters.governed_mj == pytest.approx(110 * 6648.5 + 280 * 4958.5, abs=2 * 6648.5 * 10)
    assert report.counters.governed_mj < report.counters.modelled_mj


async def test_a_board_whose_operating_points_are_unknown_is_measured(
    world: World, clock: HandClock, journal: list[TickRecord]
) -> None:
    identity, policies = Identity("d", "s", "e"), Policies("f", "d", {})
    tick = Tick(identity, None, clock, world, world, world, policies, 10.0, journal=journal.append)
    world.load = Load(requests=10, interval_s=10.0)
    for _ in range(3):
        world.lines = [line(8)]
        report = await tick()
        clock.move(5.0)
    assert report.verdict is None, "nothing is decided without operating points"
    assert (report.counters.energy_mj, report.counters.requests) == (80_000, 30)
    assert report.counters.unjudged_ms == 10_000, "a rate alone breaks no promise, and keeps none"
    assert (world.asked, journal) == ([], [])


async def test_power_is_calibrated_and_a_lost_rail_is_a_gap(
    world: World, clock: HandClock, profile: BoardProfile
) -> None:
    identity, policies = Identity("d", "s", "e"), Policies("f", "d", {})
    rule = PowerRule(Calibration(gain=2.0, offset_w=1.0))
    tick = Tick(identity, profile, clock, world, world, world, policies, 10.0, power=rule)
    for watts in (5.0, 5.0):
        world.lines = [line(watts) + " VDD_SOC 1000mW/1mW"]
        report = await tick()
        clock.move(1.0)
    assert (report.gauges.watts, report.counters.energy_mj) == (11.0, 11_000)
    world.lines = ["RAM 1/2MB (lfb 1x2MB) CPU [3%@100] VDD_IN 5 VDD_SOC 1000mW/1mW"]
    report = await tick()
    assert report.gauges.watts is None, "VDD_SOC alone is not the board"
    assert (report.counters.energy_mj, report.counters.unmeasured_ms) == (11_000, 1000)


async def test_over_current_is_said_once(
    tick: Tick, world: World, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(0, 200, 10):
        world.events = {"oc1": second // 20, "oc3": second}
        world.lines = [line(8)]
        await tick()
        clock.move(10.0)
    (said,) = [record.message for record in caplog.records if "oc1" in record.message]
    assert said.startswith("under-voltage (oc1): 3 events in 60 s; the supply sags")
    assert "oc3" not in caplog.text, "one a second is normal"


async def test_counted_and_decided(tick: Tick, world: World, clock: HandClock) -> None:
    world.lines = [line(10)]
    await tick()
    for _ in range(12):
        clock.move(10.0)
        world.lines = [line(12)]
        world.load = Load(requests=1000, interval_s=10.0, p95_ms=70.0)
        report = await tick()
    assert report.counters.energy_mj == 12 * 12 * 10 * 1000
    assert report.counters.requests == 12_000
    assert report.counters.violating_ms == 120_000, "p95 over the promise of 60 ms"
    assert report.counters.switches == 1
    assert world.asked == ["15W"]
    assert sum(report.counters.mode_ms.values()) == 120_000
    assert report.gauges.temperature_c == 50.5
    assert report.seq == 13


async def test_silence_of_the_sensor_is_not_zero_watts(tick: Tick, world: World, clock: HandClock) -> None:
    world.lines = [line(10)]
    await tick()
    clock.move(5.0)
    assert (await tick()).gauges.watts == 10.0
    clock.move(6.0)
    report = await tick()
    assert report.gauges.watts is None
    assert report.counters.unmeasured_ms == 11_000, "counted while it lasts, not when it is over"
    world.lines = [line(10)]
    report = await tick()
    assert (report.counters.energy_mj, report.counters.unmeasured_ms) == (0, 11_000)


async def test_a_refused_switch_is_not_counted(tick: Tick, world: World, clock: HandClock) -> None:
    world.load, world.obeys = Load(requests=100, interval_s=10.0), False
    first = await tick()
    assert first.verdict is not None
    assert first.verdict.rule == "dwell", "a start is no reason to step down at once"
    clock.move(120.0)
    report = await tick()
    assert report.verdict is not None
    assert (report.verdict.point, report.verdict.outcome) == ("7W", "refused")
    assert report.gauges.point == "25W"
    assert report.counters.switches == 0
    asked = len(world.asked)
    for _ in range(25):
        clock.move(1.0)
        await tick()
    assert "7W" not in world.asked[asked:], "what was refused isn't asked for again every second"
    world.obeys = True
    clock.move(60.0)
    report = await tick()
    assert report.gauges.point == "7W"


async def test_the_battery_is_asked_for_a_policy_that_has_a_floor(
    world: World, clock: HandClock, profile: BoardProfile, tmp_path: Path
) -> None:
    supply = tmp_path / "sys/class/power_supply/BAT0"
    supply.mkdir(parents=True)
    (supply / "type").write_text("Battery\n")
    (supply / "capacity").write_text("12\n")
    policies = Wilful(Policy())
    tick = Tick(
        Identity("d", "s", "e"), profile, clock, world, world, world, policies, 10.0,
        battery=Battery(Tree(str(tmp_path))),
    )  # fmt: skip
    world.load = Load(requests=2500, interval_s=10.0)
    verdict = (await tick()).verdict
    assert verdict
    assert verdict.point == "25W"
    policies.policy = Policy(battery_floor=0.2)
    verdict = (await tick()).verdict
    assert verdict
    assert (verdict.point, verdict.rule, verdict.outcome) == ("7W", "battery_floor", "applied")

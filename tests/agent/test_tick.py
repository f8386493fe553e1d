"""A tick with the world in our hands: what is unknown stays unknown, and deeds are what the board shows."""

from pathlib import Path

import msgspec
import pytest
from tests.world import HandClock

from tidewatt_agent.hands import FoldedHands, NoReboots, Outcome, Stance
from tidewatt_agent.journal import TickRecord
from tidewatt_agent.policies import Policies
from tidewatt_agent.power import Calibration, PowerRule
from tidewatt_agent.readers import TimedSample
from tidewatt_agent.replay import JournalError, replay
from tidewatt_agent.sysfs.battery import Battery
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_agent.tick import Identity, Tick
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.points import watts_at
from tidewatt_governor.sample import Load
from tidewatt_governor.situation import Situation
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Counters, MaintenanceWindow, Policy


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


class Wilful(Policies):
    """Policies with one policy."""

    def __init__(self, policy: Policy) -> None:
        super().__init__("f", "d", {})
        self.policy = policy


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

"""Each rule of the decision: that it binds, that it says so, and that it lets go again."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from tidewatt_governor.boards import load_profile
from tidewatt_governor.decide import Decision, GovernorState, decide, moved
from tidewatt_governor.leases import Lease
from tidewatt_governor.rules import RESTRAINTS, RULES
from tidewatt_governor.rules.slo_budget import MOST_EXTRA, extra_headroom
from tidewatt_governor.rules.temperature import WINDOW_S, slope
from tidewatt_governor.sample import Load
from tidewatt_governor.situation import Situation
from tidewatt_governor.state import Hour
from tidewatt_wire.messages import Policy

BOARD = load_profile("orin-nano-super")
BUSY, QUIET = 250.0, 100.0
"""25W carries the first, 15W and 7W (with no headroom to spare) not; 15W carries the second."""


class Run:
    """A board that does what is decided, tick by tick."""

    def __init__(self, policy: Policy, point: str = "25W", rps: float = BUSY) -> None:
        self.policy, self.rps, self.now_s = policy, rps, 0.0
        self.state = GovernorState(point=point, since_s=-1e6)
        self.leases: Sequence[Lease] = ()

    def tick(self, situation: Situation = Situation(), every_s: float = 10.0) -> Decision:  # noqa: B008
        load = Load(requests=round(self.rps * every_s), interval_s=every_s)
        self.state, decision = decide(
            self.state, load, self.policy, BOARD.points, "25W", self.now_s, self.leases, (), situation
        )
        self.state = moved(self.state, decision.point, self.now_s)
        self.now_s += every_s
        return decision

    def until(self, point: str, situation: Situation, most_s: float = 8000.0) -> float:
        """Tick until it stands at `point`; the seconds that took."""
        since_s = self.now_s
        while self.tick(situation).point != point:
            assert self.now_s - since_s < most_s, f"not at {point} after {most_s} s"
        return self.now_s - since_s


def test_a_rising_junction_is_derated_before_the_limit() -> None:
    run = Run(Policy(derate_at_c=95.0))
    celsius, decision = 85.0, None
    while decision is None or decision.rule != "temperature":
        decision = run.tick(Situation(temperature_c=celsius))
        celsius += 3.0 / 6.0  # 3 C/min, ten seconds a tick
        assert celsius < 95.0, "derated in time"
    assert decision.point == "15W"
    assert decision.reason == (
        "demand 288 rps (peak of 10 min + 15%) exceeds every allowed point within p95 60 ms: "
        "go from 25W to 15W; 25W, MAXN_SUPER left out, "
        "junction 91.0 C rising 3.0 C/min reaches 95 C in 80 s"
    )


def test_a_board_that_warms_up_far_below_the_limit_is_left_alone() -> None:
    run = Run(Policy())
    for tick in range(30):
        assert run.tick(Situation(temperature_c=40.0 + tick * 1.5)).point == "25W"


def test_past_the_limit_it_goes_down_step_by_step_and_comes_back_when_cool() -> None:
    run = Run(Policy())
    hot, mild, cool = (Situation(temperature_c=celsius) for celsius in (96.0, 90.0, 80.0))
    assert run.tick(hot).point == "15W", "at once"
    assert run.until("7W", hot) == 50.0, "and one further when the first step has had its time"
    for _ in range(60):
        assert run.tick(mild).point == "7W", "below the limit is not cool yet"
    first = run.until("15W", cool)
    assert first >= 120.0
    assert run.until("25W", cool) >= 120.0
    assert run.tick(hot).point == "15W"
    assert run.until("25W", cool) >= 2 * 120.0, "the second time it is not trusted as soon"


def test_a_board_that_cools_by_itself_is_not_derated_further() -> None:
    run = Run(Policy())
    run.tick(Situation(temperature_c=99.0))
    for tick in range(20):
        celsius = 99.0 - 0.15 * tick
        assert run.tick(Situation(temperature_c=celsius), 5.0).point == "15W"


def test_without_a_reading_a_derating_ends_in_the_end() -> None:
    run = Run(Policy())
    assert run.tick(Situation(temperature_c=96.0)).point == "15W"
    assert 600.0 <= run.until("25W", Situation()) <= 630.0


def test_the_slope_is_that_of_least_squares() -> None:
    assert slope([(0.0, 50.0), (60.0, 53.0), (WINDOW_S, 56.0)]) == pytest.approx(0.05)
    assert slope([(0.0, 50.0), (10.0, 53.0), (20.0, 56.0)]) is None, "too short to tell"


def test_over_current_leaves_the_point_for_a_while_and_longer_each_time() -> None:
    run = Run(Policy(max_over_current_per_min={"oc3": 300.0}))
    calm, often = Situation(over_current={"oc3": 4.0}), Situation(over_current={"oc3": 6.0})
    assert run.tick(calm).point == "25W"
    decision = run.tick(often)
    assert (decision.point, decision.rule) == ("15W", "over_current")
    assert decision.reason.endswith(
        "25W, MAXN_SUPER left out, oc3 throttled 360 times/min of 300 allowed, for 10 min"
    )
    for _ in range(10):
        assert run.tick(often).point == "15W", "a rate comes late: it still is 25W's"
    assert run.until("25W", calm) == pytest.approx(500.0, abs=20.0)
    assert run.tick(often).point == "15W"
    assert run.until("25W", calm) == pytest.approx(1200.0, abs=20.0)
    for _ in range(400):
        run.tick(calm)
    run.tick(often)
    assert run.until("25W", calm) == pytest.approx(600.0, abs=20.0), "long ago is forgotten"


def test_channels_without_a_limit_are_not_limited() -> None:
    run = Run(Policy(max_over_current_per_min={"oc1": 0.0}))
    assert run.tick(Situation(over_current={"oc3": 100.0})).point == "25W"
    assert run.tick(Situation(over_current={"oc1": 0.02})).point == "15W"


def test_the_watts_budget_is_held_by_what_is_measured() -> None:
    run = Run(Policy(watts_budget=15.0))
    # By its model 25W draws 4.8 + 250 x 0.03697 = 14.0 W; this one draws more.
    for _ in range(10):
        assert run.tick(Situation(watts=14.2)).point == "25W"
    decision = run.tick(Situation(watts=16.0))
    assert decision.point == "25W", "one reading is no mean"
    while decision.rule != "watts_budget":
        decision = run.tick(Situation(watts=16.0))
        assert run.now_s <= 150.0
    assert decision.point == "15W"
    assert "25W, MAXN_SUPER left out, " in decision.reason
    assert decision.reason.endswith(" W measured at 25W, budget 15 W")
    for _ in range(100):
        assert run.tick(Situation(watts=12.5)).point == "15W", "25W still is what it was measured to be"


def test_a_point_is_let_in_again_slowly_when_the_load_has_gone() -> None:
    run = Run(Policy(watts_budget=14.5), rps=200.0)
    assert run.tick(Situation(watts=15.0), every_s=60.0).point == "15W"
    run.rps = 150.0
    seconds = run.until("25W", Situation(watts=9.0))
    assert seconds >= 300.0


def test_a_budget_that_no_point_keeps_leaves_the_frugalest() -> None:
    decision = Run(Policy(watts_budget=1.0)).tick(Situation(watts=14.0))
    assert decision.point == "7W"
    assert decision.reason.endswith("14.0 W measured at 25W, budget 1 W; no point keeps within that, "
                                    "7W draws least")  # fmt: skip


def test_the_battery_comes_before_the_promise_until_it_has_recovered() -> None:
    run = Run(Policy(battery_floor=0.30))
    assert run.tick(Situation(battery=0.31)).point == "25W"
    decision = run.tick(Situation(battery=0.29))
    assert (decision.point, decision.rule) == ("7W", "battery_floor")
    assert decision.reason.endswith("battery 29%, floor 30%: the charge comes before the SLO")
    assert run.tick(Situation(battery=0.32)).point == "7W"
    assert run.tick(Situation(battery=0.36)).point == "25W"
    run.tick(Situation(battery=0.29))
    assert run.tick(Situation(battery=None)).point == "25W", "unknown is not empty"


def test_a_lease_is_kept_within_the_stronger_limits() -> None:
    run = Run(Policy(), point="15W", rps=10.0)
    run.leases = [Lease(id="1", point="25W", until_s=1e9, reason="batch")]
    decision = run.tick()
    assert (decision.point, decision.rule) == ("25W", "lease")
    decision = run.tick(Situation(temperature_c=97.0))
    assert decision.point == "15W", "heat is stronger"


def test_a_spent_slo_budget_raises_the_headroom_and_time_gives_it_back() -> None:
    run = Run(Policy(slo_budget=0.001), point="15W", rps=QUIET)
    assert run.tick().point == "15W"
    run.policy = msgspec.structs.replace(run.policy, slo_p95_ms=60.0)
    run.state = msgspec.structs.replace(run.state, hours=(Hour(0, 2 * 86.4),))
    assert extra_headroom(run.state, run.policy) == MOST_EXTRA
    run.rps = 165.0
    decision = run.tick(every_s=60.0)
    assert decision.point == "25W"
    assert decision.rule == "slo_budget"
    assert "+ 15% + 25% as 173 s violate, 86 s a day allowed)" in decision.reason
    run.now_s += 24 * 3600.0
    run.tick()
    assert extra_headroom(run.state, run.policy) == 0.0
    assert run.state.hours == (Hour(24, 0.0),)


def test_violations_are_counted_by_the_measured_p95_else_by_the_model() -> None:
    policy = Policy(slo_budget=0.5)
    for load, seconds in (
        (Load(requests=10, interval_s=10.0, p95_ms=61.0), 10.0),
        (Load(requests=10, interval_s=10.0, p95_ms=59.0), 0.0),
        (Load(requests=9000, interval_s=10.0), 10.0),
        (Load(requests=10, interval_s=10.0), 0.0),
        (Load(requests=9000, interval_s=900.0, p95_ms=61.0), 60.0),
    ):
        state, _ = decide(GovernorState(point="25W", since_s=0.0), load, policy, BOARD.points, "25W", 50.0)
        assert state.hours == (Hour(0, seconds),)


def test_quiet_hours_hold_back_what_only_saves() -> None:
    run = Run(Policy(), rps=QUIET)
    decision = run.tick(Situation(quiet=True))
    assert (decision.point, decision.rule) == ("25W", "quiet_hours")
    assert decision.reason.endswith("would save 0.9 W: stay at 25W, these are quiet hours")
    run.state = moved(run.state, "7W", -1e6)
    run.rps = BUSY
    assert run.tick(Situation(quiet=True), every_s=60.0).point == "25W", "what the promise needs is done"


def test_so_many_switches_an_hour_and_then_none_down() -> None:
    run = Run(
        Policy(
            max_switches_per_hour=2,
            min_dwell_s=0.0,
            switch_cost_j=0.0,
            demand_window_s=60.0,
            tail_quantile=None,
        ),
        rps=QUIET,
    )
    points, rules = [], []
    for minute in range(66):
        run.rps = BUSY if minute % 4 == 3 else QUIET
        decision = run.tick(every_s=60.0)
        points.append(decision.point)
        rules.append(decision.rule)
    assert points[:8] == ["15W", "15W", "15W", "25W", "25W", "25W", "25W", "25W"]
    assert rules[4] == "switches_per_hour"
    assert set(points[8:60]) == {"25W"}
    assert "15W" in points[60:], "an hour later there is one again"


def test_dear_energy_makes_a_saving_worth_its_switch() -> None:
    policy = Policy(switch_cost_j=150.0)
    assert Run(policy, rps=QUIET).tick().rule == "not_worth_it", "0.9 W x 120 s"
    assert Run(policy, rps=QUIET).tick(Situation(energy_price_weight=2.0)).point == "15W"
    dirty = Situation(carbon_weight=1.5)
    assert Run(policy, rps=QUIET).tick(dirty).point == "15W"
    pushed = msgspec.structs.replace(policy, energy_weight=2.0)
    assert Run(pushed, rps=QUIET).tick().point == "15W"
    free = Run(Policy(energy_weight=0.0), rps=BUSY, point="7W").tick()
    assert free.point == "25W", "a weight never costs the promise"


def test_limits_hold_while_the_load_is_unknown() -> None:
    state = GovernorState(point="25W", since_s=-1e6, blind_since_s=-100.0)
    hot = Situation(temperature_c=96.0)
    _, decision = decide(state, None, Policy(), BOARD.points, "25W", 0.0, situation=hot)
    assert (decision.point, decision.rule) == ("15W", "temperature")
    assert decision.reason.startswith("load unknown: go to the strongest allowed point 15W; ")
    budget = Policy(watts_budget=10.0)
    _, decision = decide(state, None, budget, BOARD.points, "25W", 0.0, situation=Situation(watts=12.0))
    assert decision.rule == "watts_budget"


def test_the_documentation_names_every_rule_in_order() -> None:
    text = (Path(__file__).parents[2] / "docs/architecture.md").read_text()
    names = [rule.__name__ for rule in (*RULES, *RESTRAINTS)]
    places = [text.find(f"| `{name}` |") for name in names]
    assert -1 not in places, "every rule has its row"
    assert places == sorted(places), "in the order in which they are asked"

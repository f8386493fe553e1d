"""What holds whatever the rules meet: limits within one tick, no flapping, and None binds nothing."""

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tidewatt_governor.boards import load_profile
from tidewatt_governor.decide import Decision, GovernorState, Minute, decide, moved, planned_demand
from tidewatt_governor.points import full_watts, usable_rps, watts_at
from tidewatt_governor.policy import allowed
from tidewatt_governor.rules.watts_budget import expected_watts
from tidewatt_governor.sample import Load
from tidewatt_governor.situation import Situation
from tidewatt_governor.state import Hour
from tidewatt_wire.messages import Policy

BOARD = load_profile("orin-nano-super")
NAMES = [point.name for point in BOARD.points]

policies = st.builds(
    Policy,
    min_dwell_s=st.floats(0, 600),
    switch_cost_j=st.floats(0, 100),
    allowed_points=st.none() | st.lists(st.sampled_from(NAMES), min_size=1, max_size=4),
    watts_budget=st.none() | st.floats(3, 20),
    derate_at_c=st.none() | st.floats(60, 100),
    max_over_current_per_min=st.just({}) | st.just({"oc2": 0.0, "oc3": 300.0}),
    slo_budget=st.none() | st.floats(1e-4, 0.1),
    max_switches_per_hour=st.none() | st.integers(0, 6),
    battery_floor=st.none() | st.floats(0, 1),
    energy_weight=st.floats(0, 10),
)
situations = st.builds(
    Situation,
    watts=st.none() | st.floats(0, 30),
    temperature_c=st.none() | st.floats(20, 110),
    over_current=st.just({}) | st.builds(dict, oc3=st.floats(0, 10)),
    battery=st.none() | st.floats(0, 1),
    quiet=st.booleans(),
)
loads = st.none() | st.builds(
    Load,
    requests=st.integers(0, 8000),
    interval_s=st.just(20.0),
    p95_ms=st.none() | st.floats(1, 200),
)
steps = st.lists(st.tuples(st.floats(1, 600), loads, situations), min_size=1, max_size=25)
Step = tuple[float, Load | None, Situation]


def once(
    state: GovernorState, load: Load | None, policy: Policy, now_s: float, situation: Situation
) -> tuple[GovernorState, Decision]:
    return decide(state, load, policy, BOARD.points, BOARD.vendor_default, now_s, situation=situation)


def start(point: str = "25W") -> GovernorState:
    return GovernorState(point=point, since_s=-1e6)


@given(policies, steps)
@settings(max_examples=300)
def test_limits_hold_within_one_tick_and_again_changes_nothing(policy: Policy, path: list[Step]) -> None:
    state, now_s = start(), 0.0
    names = {point.name for point in allowed(BOARD.points, policy)}
    for after_s, load, situation in path:
        now_s += after_s
        state, decision = once(state, load, policy, now_s, situation)
        assert once(state, load, policy, now_s, situation) == (state, decision), "nothing is new"
        assert decision.point in names
        chosen = BOARD.point(decision.point)
        left = [point for point in BOARD.points if point.name in names]
        for cut in (state.surges.cut, state.heat.cut):
            cooler = [one for one in left if cut and full_watts(one) < full_watts(BOARD.point(cut.point))]
            left = left if cut is None else cooler or [min(left, key=full_watts)]
        assert chosen in left, "heat and over-current"
        budget = policy.watts_budget
        within = [one for one in left if budget and one.name not in state.draw.left_out]
        if budget and within and state.draw.point:
            assert expected_watts(state.draw, chosen, now_s) <= budget
        if decision.rule == "saving" and policy.max_switches_per_hour is not None:
            recent = [at_s for at_s in state.switches if at_s > now_s - 3600.0]
            assert len(recent) < policy.max_switches_per_hour
        state = moved(state, decision.point, now_s)
        assert once(state, load, policy, now_s, situation)[1].point == decision.point


@given(policies, steps)
@settings(max_examples=200)
def test_what_is_remembered_is_bounded(policy: Policy, path: list[Step]) -> None:
    state, now_s = start(), 0.0
    for after_s, load, situation in path * 4:
        now_s += after_s
        state, decision = once(state, load, policy, now_s, situation)
        state = moved(state, decision.point, now_s)
        assert len(state.heat.readings) <= 25
        assert len(state.hours) <= 24
        assert len(state.switches) <= 60
        assert set(state.draw.ratios) <= set(NAMES)
        assert set(state.draw.left_out) <= set(NAMES)


@given(policies, st.lists(st.tuples(st.floats(1, 600), loads), min_size=1, max_size=20))
@settings(max_examples=200)
def test_what_is_not_measured_binds_nothing(policy: Policy, path: list[tuple[float, Load | None]]) -> None:
    free = msgspec.structs.replace(
        policy, watts_budget=None, derate_at_c=None, max_over_current_per_min={}, battery_floor=None
    )
    one = other = start()
    now_s = 0.0
    for after_s, load in path:
        now_s += after_s
        one, decision = once(one, load, policy, now_s, Situation())
        other, same = once(other, load, free, now_s, Situation())
        assert decision == same
        one, other = (moved(state, decision.point, now_s) for state in (one, other))


@given(policies, steps, situations, st.tuples(st.floats(0, 400), st.floats(0, 400)))
@settings(max_examples=300)
def test_more_demand_never_gives_less_capacity(
    policy: Policy, path: list[Step], situation: Situation, peaks: tuple[float, float]
) -> None:
    state, now_s = start(), 0.0
    for after_s, load, earlier in path:
        now_s += after_s
        state, decision = once(state, load, policy, now_s, earlier)
        state = moved(state, decision.point, now_s)
    minute = int(now_s // 60.0) + 2
    found = []
    for peak in sorted(peaks):
        minutes = (Minute(minute - 1, round(peak * 60), 60.0), Minute(minute, 60, 60.0))
        quiet = Load(requests=0, interval_s=1e-9)
        before = msgspec.structs.replace(state, minutes=minutes, last=None)
        _, decision = once(before, quiet, policy, minute * 60.0, situation)
        found.append(usable_rps(BOARD.point(decision.point), policy.slo_p95_ms))
    assert found[1] >= found[0] - 1e-9


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(1e-3, 1))
def test_the_spent_slo_budget_never_lowers_the_demand(less: float, more: float, budget: float) -> None:
    assume(less <= more)
    minute = (Minute(0, 6000, 60.0),)

    def demand(spent: float) -> float:
        state = msgspec.structs.replace(start(), minutes=minute, hours=(Hour(0, spent),))
        return planned_demand(state, Policy(slo_budget=budget))

    plain = planned_demand(msgspec.structs.replace(start(), minutes=minute), Policy())
    assert plain <= demand(less) <= demand(more) <= plain / 1.15 * 1.4 + 1e-9


noises = st.lists(st.floats(-1, 1), min_size=60, max_size=60)


def switches(policy: Policy, rps: float, world: "list[tuple[float, Situation | float]]") -> int:
    """Switches in an hour of 10 s ticks: (rate, situation or the factor of measured over modelled watts)."""
    state, count = start(), 0
    for tick, (factor, said) in enumerate(world):
        now_s = tick * 10.0
        load = Load(requests=round(rps * factor * 10.0), interval_s=10.0)
        watts = None if isinstance(said, Situation) else said * watts_at(BOARD.point(state.point), rps)
        situation = said if isinstance(said, Situation) else Situation(watts=watts)
        state, decision = once(state, load, policy, now_s, situation)
        count += decision.point != state.point
        state = moved(state, decision.point, now_s)
    return count


@given(noises, st.floats(60, 105))
@settings(max_examples=60)
def test_a_noisy_temperature_does_not_make_it_flap(noise: list[float], level: float) -> None:
    hour = noise * 6
    world: list[tuple[float, Situation | float]] = [
        (1.0, Situation(temperature_c=level + one)) for one in hour
    ]
    assert switches(Policy(), 250.0, world) <= 2, "to the lowest point at most, and it stays there"


@given(noises, st.floats(0.7, 1.5), st.floats(5, 330))
@settings(max_examples=100)
def test_noisy_watts_do_not_make_it_flap(noise: list[float], wrong: float, rps: float) -> None:
    hour = noise * 6
    world: list[tuple[float, Situation | float]] = [(1.0, wrong * (1.0 + 0.03 * one)) for one in hour]
    assert switches(Policy(watts_budget=10.0), rps, world) <= 3


@given(noises, st.floats(5, 330), st.sampled_from([0.29, 0.31, None]))
@settings(max_examples=60)
def test_a_noisy_rate_does_not_make_it_flap(noise: list[float], rps: float, battery: float | None) -> None:
    hour = noise * 6
    situation = Situation(battery=battery)
    world: list[tuple[float, Situation | float]] = [(1.0 + 0.03 * one, situation) for one in hour]
    assert switches(Policy(battery_floor=0.3), rps, world) <= 3

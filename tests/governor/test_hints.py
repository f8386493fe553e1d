"""A hint raises a board and never sinks it: its own rules win."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tidewatt_governor.boards import load_profile
from tidewatt_governor.decide import GovernorState, decide
from tidewatt_governor.hints import Enough, Hint, under
from tidewatt_governor.points import usable_rps
from tidewatt_governor.sample import Load
from tidewatt_wire.messages import Policy

BOARD = load_profile("orin-nano-super")
POLICY = Policy()
NAMES = [point.name for point in BOARD.points]


def decided(rps: float, at: str, hint: Hint | None, policy: Policy = Policy()) -> tuple[str, str, str]:  # noqa: B008
    state = GovernorState(point=at, since_s=-1e6)
    for second in range(0, 120, 20):
        load = Load(requests=round(rps * 20), interval_s=20.0)
        state, decision = decide(
            state, load, policy, BOARD.points, BOARD.vendor_default, 600.0 + second, hint=hint
        )
    return decision.point, decision.rule, decision.reason


def usable(name: str) -> float:
    return usable_rps(BOARD.point(name), Policy().slo_p95_ms)


@given(st.floats(0, 500), st.sampled_from(NAMES), st.sampled_from([*NAMES, "no-such"]), st.floats(0, 2000))
@settings(max_examples=150)
def test_a_hint_never_undercuts_the_devices_own_rule(rps: float, at: str, point: str, until_s: float) -> None:
    own = decided(rps, at, None)[0]
    hinted = decided(rps, at, Hint(point=point, until_s=until_s, reason="planned"))[0]
    assert usable(hinted) >= usable(own)
    assert hinted in (own, point)


def test_a_hint_raises_before_the_traffic_comes_until_it_ends() -> None:
    strongest = max(NAMES, key=usable)
    point, rule, reason = decided(5.0, "7W", Hint(point=strongest, until_s=1e6, reason="30 rps more"))
    assert (point, rule) == (strongest, "hint")
    assert reason == f"the fleet's plan asks for {strongest} (30 rps more): go to {strongest}"
    assert decided(5.0, "7W", Hint(point=strongest, until_s=1.0, reason="old"))[0] == "7W"


def test_a_hint_is_never_followed_beyond_the_policys_limits() -> None:
    strongest = max(NAMES, key=usable)
    allowed = Policy(allowed_points=["7W", "15W"])
    assert decided(5.0, "7W", Hint(point=strongest, until_s=1e6, reason="more"), allowed)[0] == "7W"


def test_a_device_that_does_not_know_its_load_stands_safe_whatever_is_hinted() -> None:
    state = GovernorState(point="7W", since_s=-1e6, blind_since_s=0.0)
    hint = Hint(point="7W", until_s=1e6, reason="planned")
    _, decision = decide(state, None, Policy(), BOARD.points, BOARD.vendor_default, 600.0, hint=hint)
    assert decision.rule == "no_load_known"


@given(st.lists(st.floats(0, 400), min_size=5, max_size=30), st.sampled_from(NAMES), st.sampled_from(NAMES))
@settings(max_examples=100)
def test_under_a_guarded_hint_the_reactive_rule_with_its_headroom_stays(
    rates: list[float], at: str, point: str
) -> None:
    lean = replace(POLICY, tail_quantile=None, demand_window_s=60.0)
    hint = Hint(point=point, until_s=1e9, reason="planned", guarded=True)
    hinted, own = GovernorState(point=at, since_s=-1e6), GovernorState(point=at, since_s=-1e6)
    for minute, rps in enumerate(rates):
        load, now_s = Load(requests=round(rps * 60), interval_s=60.0), 60.0 * (minute + 1) - 0.5
        hinted, under_it = decide(hinted, load, POLICY, BOARD.points, BOARD.vendor_default, now_s, hint=hint)
        own, alone = decide(own, load, lean, BOARD.points, BOARD.vendor_default, now_s)
        assert usable(under_it.point) >= usable(alone.point)
        assert under_it.point in (alone.point, point)
    assert hinted.guard != own.guard or len(rates) < 4, "its own margin is learned all the while"


def test_without_a_point_that_can_be_had_nobody_else_has_the_margin() -> None:
    guarded = Hint(point="7W", until_s=100.0, reason="planned", guarded=True)
    assert under(POLICY, guarded, BOARD.points, 99.0) == replace(
        POLICY, tail_quantile=None, demand_window_s=60.0
    )
    assert under(POLICY, guarded, BOARD.points, 100.0) is None
    assert under(POLICY, guarded, [BOARD.point("25W")], 99.0) is None
    assert under(POLICY, replace(guarded, guarded=False), BOARD.points, 99.0) is None


@given(st.floats(0, 500), st.sampled_from(NAMES), st.sampled_from(NAMES), st.floats(0, 500))
@settings(max_examples=100)
def test_what_is_enough_never_undercuts_the_devices_own_rule(
    rps: float, at: str, point: str, most_rps: float
) -> None:
    weakest = min(NAMES, key=usable)
    hint = Hint(point=point, until_s=1e6, reason="planned", enough=(Enough(most_rps, weakest),))
    assert usable(decided(rps, at, hint)[0]) >= usable(decided(rps, at, None)[0])


def test_a_lower_point_is_enough_while_the_device_saw_no_more_than_was_thought_of() -> None:
    strongest = max(NAMES, key=usable)
    hint = Hint(point=strongest, until_s=1e6, reason="planned", enough=(Enough(5.0, "7W"),))
    assert decided(4.0, "7W", hint)[0] == "7W"
    assert decided(6.0, "7W", hint)[0] == strongest


def test_a_device_that_is_full_can_not_tell_what_was_meant_for_it() -> None:
    strongest = max(NAMES, key=usable)
    hint = Hint(point=strongest, until_s=1e6, reason="planned", enough=(Enough(1e6, "7W"),))
    assert decided(0.97 * usable("7W"), "7W", hint)[0] == strongest

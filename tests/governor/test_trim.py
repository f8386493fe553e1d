"""Caps within the mode: each invariant a property, the sentence and the ways out an example."""

import itertools
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_governor.boards import BoardProfile, load_profile, parse_profile
from tidewatt_governor.choice import covered
from tidewatt_governor.decide import Decision, GovernorState, Minute, decide, moved
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.leases import Lease
from tidewatt_governor.points import usable_rps
from tidewatt_governor.sample import Load
from tidewatt_governor.state import Trimming
from tidewatt_governor.trim import BROKEN_S, HOLD_S
from tidewatt_wire.documents import DocumentError, to_toml
from tidewatt_wire.messages import OperatingPoint, Policy, Trim

PLAIN = load_profile("orin-nano-super")
MHZ = 1_000_000


def trim(name: str, gpu: int, rps: float, idle: float, each: float) -> Trim:
    return Trim(
        name=name,
        caps={"gpu": gpu * MHZ},
        capacity_rps=rps,
        idle_watts=idle,
        joules_per_request=each,
        light_p95_ms=20.0,
        queueing=0.3,
    )


LOW = trim("gpu 408 MHz", 408, 150.0, 4.4, 0.0350)
HIGH = trim("gpu 612 MHz", 612, 230.0, 4.6, 0.0362)
TRIMS = [LOW, HIGH]


def trimmed(trims: list[Trim]) -> list[OperatingPoint]:
    """The board with 25W alone and these trims: what is tested isn't the choice of a mode."""
    return [msgspec.structs.replace(PLAIN.point("25W"), trims=trims)]


BOARD = trimmed(TRIMS)
POLICY = Policy()


def rps(rate: float, p95_ms: float | None = None) -> Load:
    return Load(requests=round(rate * 10), interval_s=10.0, p95_ms=p95_ms)


def step(
    state: GovernorState,
    load: Load | None,
    now_s: float,
    board: list[OperatingPoint] = BOARD,
    policy: Policy = POLICY,
    **more: object,
) -> tuple[GovernorState, Decision]:
    return decide(state, load, policy, board, "25W", now_s, **more)  # type: ignore[arg-type]


def under(load: Load, seconds: int = 30) -> tuple[GovernorState, Decision]:
    """The board after this load has lasted."""
    state = GovernorState(point="25W", since_s=0.0)
    for second in range(0, seconds + 1, 5):
        state, decision = step(state, load, 600.0 + second)
    return state, decision


def capacity(decision: Decision, board: list[OperatingPoint] = BOARD, slo_p95_ms: float = 60.0) -> float:
    one = next((one for one in board[0].trims if one.name == decision.trim), board[0])
    return usable_rps(one, slo_p95_ms)


loads = st.builds(Load, requests=st.integers(0, 4000), interval_s=st.just(10.0))
policies = st.builds(
    Policy,
    slo_p95_ms=st.floats(18, 200),
    headroom=st.floats(0, 1),
    hysteresis=st.floats(0, 0.5),
    tail_quantile=st.sampled_from([None, 0.9]),
)
ladders = st.lists(
    st.builds(
        trim,
        st.uuids().map(str),
        st.just(408),
        st.floats(10, 330),
        st.floats(0, 10),
        st.floats(0, 0.1),
    ),
    max_size=4,
).map(trimmed)
trimmings = st.builds(
    Trimming,
    point=st.just("25W"),
    trim=st.none() | st.just(LOW.name) | st.just(HIGH.name),
    since_s=st.none() | st.floats(580, 605),
    most_rps=st.floats(0, 400),
)
#: The last minute as it may have been; the present one begins with the load.
states = st.builds(
    GovernorState,
    point=st.just("25W"),
    since_s=st.just(0.0),
    trimming=trimmings,
    minutes=st.integers(0, 15_000).map(lambda requests: (Minute(9, requests, 60.0),)),
)


@given(states, loads, loads, policies)
@settings(max_examples=300)
def test_more_load_never_gives_less_capacity(
    state: GovernorState, one: Load, other: Load, policy: Policy
) -> None:
    less, more = sorted((one, other), key=lambda load: load.requests)
    low, high = (step(state, load, 605.0, policy=policy)[1] for load in (less, more))
    assert capacity(high, slo_p95_ms=policy.slo_p95_ms) >= capacity(low, slo_p95_ms=policy.slo_p95_ms)


@given(ladders, st.lists(loads, min_size=8, max_size=20), policies)
@settings(max_examples=200)
def test_never_below_the_demand_and_deciding_again_changes_nothing(
    board: list[OperatingPoint], rates: list[Load], policy: Policy
) -> None:
    state = GovernorState(point="25W", since_s=0.0)
    for number, load in enumerate(rates):
        now_s = 600.0 + 4.0 * number
        state, decision = step(state, load, now_s, board, policy)
        again, same = step(state, load, now_s, board, policy)
        assert same == decision
        assert step(again, load, now_s, board, policy) == (again, same)
        if decision.trim:
            needed = covered(load.rps, state, policy)
            assert capacity(decision, board, policy.slo_p95_ms) >= needed


@given(states, st.none() | loads, policies)
def test_without_trims_all_is_as_it_was(state: GovernorState, load: Load | None, policy: Policy) -> None:
    after, decision = step(state, load, 605.0, trimmed([]), policy)
    assert (decision.trim, after.trimming) == (None, Trimming())
    assert "capped" not in decision.reason


@given(states, policies)
def test_an_unknown_load_is_not_capped_for(state: GovernorState, policy: Policy) -> None:
    assert step(state, None, 605.0, policy=policy)[1].trim is None


@pytest.mark.parametrize("rate", [100.0, 128.0, 150.0, 195.0])
def test_noise_does_not_make_it_flap(rate: float) -> None:
    chance = random.Random(7)
    state, seen = GovernorState(point="25W", since_s=0.0), []
    for second in range(600):
        state, decision = step(state, rps(rate * chance.uniform(0.95, 1.05)), 600.0 + second)
        seen.append(decision.trim)
    changes = sum(one != other for one, other in itertools.pairwise(seen[60:]))
    assert changes <= 540 / 60, "a bounded noise, and at worst now and then a cap"


def test_the_weakest_that_carries_it_after_a_while_and_the_sentence_says_so() -> None:
    state = GovernorState(point="25W", since_s=0.0)
    first = 0.0
    for second in range(20):
        state, decision = step(state, rps(80), 600.0 + second)
        if decision.trim:
            first = first or second
    assert first == HOLD_S
    assert decision.trim == "gpu 408 MHz"
    assert decision.reason.endswith(": stay, capped to gpu 408 MHz for 92 rps"), "80 rps and 15 % of margin"


def test_up_at_once() -> None:
    state, decision = under(rps(80))
    assert decision.trim == "gpu 408 MHz"
    assert step(state, rps(160), 631.0)[1].trim == "gpu 612 MHz"
    assert step(state, rps(280), 631.0)[1].trim is None


@pytest.mark.parametrize(
    "more",
    [
        {"leases": [Lease(id="a", point="25W", until_s=1e9, reason="a demo")]},
        {"barred": ["25W/gpu 408 MHz", "25W/gpu 612 MHz"]},
    ],
)
def test_what_keeps_it_uncapped(more: dict[str, object]) -> None:
    state, decision = under(rps(80))
    assert decision.trim
    assert step(state, rps(80), 631.0, **more)[1].trim is None  # type: ignore[arg-type] # of this case


def test_a_barred_trim_leaves_the_next() -> None:
    state, _ = under(rps(80))
    for second in range(20):
        state, decision = step(state, rps(80), 631.0 + second, barred=["25W/gpu 408 MHz"])
    assert decision.trim == "gpu 612 MHz"


def test_overload_and_a_forecast_are_no_time_for_caps() -> None:
    state, _ = under(rps(80))
    peak = msgspec.structs.replace(state, minutes=(Minute(9, 60 * 500, 60.0), state.minutes[-1]))
    _, decision = step(peak, rps(80), 690.0)
    assert (decision.rule, decision.trim) == ("overload", None)
    weak = [msgspec.structs.replace(PLAIN.point("7W")), *BOARD]
    soon = Forecast(minute=10, rps=((0.0, 0.0, 200.0),) * 17, trusted=True, reason="")
    state = msgspec.structs.replace(state, point="7W")
    _, decision = step(state, rps(60), 631.0, weak, Policy(forecast_quantile="p99"), forecast=soon)
    assert (decision.rule, decision.trim) == ("forecast", None)


def test_a_promise_broken_under_a_cap_keeps_caps_away() -> None:
    state, decision = under(rps(80, 20.0))
    assert decision.trim
    state, decision = step(state, rps(80, 61.0), 631.0)
    assert decision.trim is None
    for second in range(0, round(BROKEN_S), 10):
        state, decision = step(state, rps(80, 20.0), 632.0 + second)
        assert decision.trim is None
    for second in range(0, 30, 5):
        state, decision = step(state, rps(80, 20.0), 632.0 + BROKEN_S + second)
    assert decision.trim


def test_another_mode_begins_uncapped() -> None:
    state, decision = under(rps(80))
    assert decision.trim
    board = [msgspec.structs.replace(PLAIN.point("MAXN_SUPER"), trims=TRIMS), *BOARD]
    _, decision = step(moved(state, "MAXN_SUPER", 631.0), rps(80), 632.0, board)
    assert (decision.point, decision.trim) == ("MAXN_SUPER", None)


def test_what_saves_nothing_is_no_rung() -> None:
    dear = msgspec.structs.replace(LOW, idle_watts=4.85)
    state = GovernorState(point="25W", since_s=0.0)
    for second in range(30):
        state, decision = step(state, rps(80), 600.0 + second, trimmed([dear, HIGH]))
    assert decision.trim == "gpu 612 MHz"


def with_trims(trims: list[Trim]) -> BoardProfile:
    points = [
        msgspec.structs.replace(point, trims=trims if point.name == "25W" else []) for point in PLAIN.points
    ]
    return msgspec.structs.replace(PLAIN, points=points)


def test_a_profile_with_trims_is_read_as_it_was_written() -> None:
    profile = with_trims(TRIMS)
    assert parse_profile(to_toml(profile), name="x.toml") == profile


@pytest.mark.parametrize(
    ("trims", "sentence"),
    [
        ([LOW, LOW], "x.toml: 25W: trims need distinct names"),
        ([trim("a", 1020, 100.0, 4.0, 0.03)], "'a' caps gpu above the mode's own cap"),
        ([trim("a", 612, 331.0, 4.0, 0.03)], "'a' has more capacity than the mode"),
        ([msgspec.structs.replace(LOW, caps={"npu": 1})], "needs caps of cpu, gpu, emc"),
        ([msgspec.structs.replace(LOW, caps={})], "needs caps of cpu, gpu, emc"),
    ],
)
def test_a_trim_that_can_not_be_is_refused(trims: list[Trim], sentence: str) -> None:
    with pytest.raises(DocumentError, match=sentence):
        parse_profile(to_toml(with_trims(trims)), name="x.toml")


@pytest.mark.parametrize(("seconds", "capped"), [(10.0, True), (60.0, False)])
def test_who_looks_once_a_minute_can_not_follow_the_seconds(seconds: float, capped: bool) -> None:
    load = Load(requests=round(seconds * 30), interval_s=seconds)
    state, trims = GovernorState(point=BOARD[0].name, since_s=-1e6), set()
    for tick in range(30):
        policy = Policy(allowed_points=[BOARD[0].name])
        state, decision = decide(state, load, policy, BOARD, BOARD[0].name, seconds * tick)
        trims.add(decision.trim)
    assert (trims != {None}) is capped

"""The fleet's plan: it carries what it promises to carry, at the least watts, and moves nobody for noise."""

import math

import msgspec
import pytest
from benchmarks.joint.bound import JointBound
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.planning.demand import DemandGuard, Guarded
from tidewatt_coordinator.planning.envelopes import Choosing, Envelope, Option, choose, envelopes_of
from tidewatt_coordinator.planning.plan import Asked, Device, Plan, PlanState, plan
from tidewatt_coordinator.planning.residuals import COLD, FEWEST, USUAL
from tidewatt_coordinator.planning.shares import Server, split
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.boards import load_profile
from tidewatt_governor.forecast.layout import OUTPUTS
from tidewatt_governor.forecast.value import Forecast
from tidewatt_wire.messages import OperatingPoint

TERMS = Terms()
LOW = Envelope("7W", 120.0, 3.5, 3.5 / 120)
MIDDLE = Envelope("15W", 220.0, 4.0, 8.0 / 220)
HIGH = Envelope("MAXN", 330.0, 5.0, 10.0 / 330)
ASLEEP = Envelope("sleep", 0.0, 0.5, wake_s=90.0)
KIND = (LOW, MIDDLE, HIGH)
SETTINGS = settings(max_examples=150)

envelope = st.builds(
    Envelope,
    st.uuids().map(str),
    st.floats(1, 400),
    st.floats(0.1, 20),
    st.floats(0, 0.2),
)
kinds = st.lists(envelope, min_size=1, max_size=4).map(tuple)
needs = st.floats(0, 4000)


@st.composite
def fleets(draw: st.DrawFn) -> list[Device]:
    some = draw(st.lists(kinds, min_size=1, max_size=3))
    chosen = draw(st.lists(st.sampled_from(some), min_size=1, max_size=8))
    return [
        Device(f"d{index}", kind, at=draw(st.sampled_from(kind)).point, age_min=2.0)
        for index, kind in enumerate(chosen)
    ]


def demand(rps: float) -> Guarded:
    return Guarded(rps * 0.9, rps, "so much")


def ten(at: str = "7W", kind: tuple[Envelope, ...] = KIND) -> list[Device]:
    return [Device(f"d{index}", kind, at=at, age_min=2.0) for index in range(10)]


def standing(made: Plan) -> list[str]:
    return [one.point for one in made.devices.values()]


@given(fleets(), needs)
@SETTINGS
def test_a_plan_carries_the_need_or_is_all_there_is(devices: list[Device], need: float) -> None:
    _, made = plan(PlanState(), devices, demand(need), 100, TERMS)
    best = sum(
        max(
            one.usable_rps * (1.0 if one.point == device.at else 1.0 - TERMS.switch_pause_s / 60.0)
            for one in device.envelopes
        )
        for device in devices
    )
    assert made.capacity_rps >= min(need, best) - 1e-6
    shares = [one.share for one in made.devices.values()]
    assert sum(shares) == pytest.approx(1.0)
    if made.capacity_rps >= need:
        assert all(one.share * need <= one.counted_rps + 1e-6 for one in made.devices.values())


@given(fleets(), needs, needs)
@SETTINGS
def test_more_demand_never_gives_less_capacity(devices: list[Device], one: float, other: float) -> None:
    less, more = sorted((one, other))
    small = plan(PlanState(), devices, demand(less), 100, TERMS)[1]
    large = plan(PlanState(), devices, demand(more), 100, TERMS)[1]
    assert large.capacity_rps >= small.capacity_rps - 1e-6


@given(fleets(), st.lists(needs, min_size=1, max_size=4), st.randoms(use_true_random=False))
@SETTINGS
def test_renaming_devices_renames_the_plan(devices: list[Device], rows: list[float], random: object) -> None:
    names = [f"other-{9 - index}" for index in range(len(devices))]
    renamed = [msgspec.structs.replace(one, name=name) for one, name in zip(devices, names, strict=True)]
    here, there = PlanState(), PlanState()
    for minute, need in enumerate(rows, 100):
        here, made = plan(here, devices, demand(need), minute, TERMS)
        there, other = plan(there, renamed, demand(need), minute, TERMS)
        assert list(made.devices.values()) == list(other.devices.values())


@given(fleets(), st.lists(st.floats(0.95, 1.0), min_size=20, max_size=40), st.floats(50, 2000))
@SETTINGS
def test_noise_below_a_level_moves_nobody_once_the_level_was_seen(
    devices: list[Device], noise: list[float], level: float
) -> None:
    # The level itself comes back within every `hold_min` minutes.
    state, moves = PlanState(), []
    for minute, share in enumerate(noise):
        need = level if minute % TERMS.hold_min == 0 else level * share
        state, made = plan(state, devices, demand(need), minute, TERMS)
        seen = {name: one.point for name, one in made.devices.items()}
        devices = [msgspec.structs.replace(one, at=seen[one.name], age_min=0.0) for one in devices]
        moves.append(made.moves)
    # What switches cost in their minute may be given back once; then all stands.
    assert sum(moves[2 * TERMS.hold_min + 2 :]) == 0


@given(st.floats(0, 3300), st.booleans())
@SETTINGS
def test_ten_like_boards_are_planned_as_well_as_every_combination_could(need: float, flat: bool) -> None:
    kind = tuple(Envelope(one.point, one.usable_rps, one.full_watts) for one in KIND) if flat else KIND
    options = tuple(Option(one, one.usable_rps) for one in kind)
    chosen = choose([Choosing(options, "7W", 9.0)] * 10, need)
    points = [
        OperatingPoint(
            name=one.point,
            mode_id=index,
            capacity_rps=one.usable_rps,
            idle_watts=one.idle_watts,
            joules_per_request=one.joules_per_request,
            light_p95_ms=1.0,
            queueing=0.0,
        )
        for index, one in enumerate(kind)
    ]
    assert sum(one.rps for one in chosen) >= need
    least = JointBound(points, 10).watts(need)
    if flat:
        assert sum(one.watts for one in chosen) == pytest.approx(least)
    else:
        shares = split([Server(o.rps, o.envelope.joules_per_request, 0.0) for o in chosen], need, need, 0.0)
        watts = sum(
            one.envelope.idle_watts + share * need * one.envelope.joules_per_request
            for one, share in zip(chosen, shares, strict=True)
        )
        assert watts <= least * 1.02


def test_traffic_goes_where_it_is_cheap_unless_it_costs_the_same_everywhere() -> None:
    frugal, thirsty = Server(100.0, 0.01, 1.0), Server(100.0, 0.1, 1.0)
    assert split([thirsty, frugal], 80.0, 100.0, 0.0) == [0.0, 1.0]
    assert split([thirsty, frugal], 80.0, 150.0, 0.0) == pytest.approx([1 / 3, 2 / 3])
    assert split([frugal, frugal], 80.0, 100.0, 0.0) == [0.5, 0.5]
    assert split([Server(0.0, 0.0, 0.5)], 80.0, 100.0, 0.0) == [0.0]


def test_what_was_asked_and_is_not_done_is_not_counted_on() -> None:
    devices = ten()
    state, made = plan(PlanState(), devices, demand(1400.0), 0, TERMS)
    raised = [name for name, one in made.devices.items() if one.point == "MAXN"]
    assert len(raised) == 1
    for minute in range(1, 10):
        state, made = plan(state, devices, demand(1400.0), minute, TERMS)  # it never moves
    assert made.devices[raised[0]].point == "7W"
    assert made.capacity_rps >= 1400.0


def test_a_device_on_its_way_down_is_counted_with_its_switch_until_it_is_seen_there() -> None:
    state = PlanState({"a": Asked("7W", 99, 99, sinking=True)})
    state, made = plan(state, [Device("a", KIND, at="MAXN", age_min=2.0)], demand(50.0), 100, TERMS)
    assert made.devices["a"].counted_rps == pytest.approx(116.0)
    _, made = plan(state, [Device("a", KIND, at="7W", age_min=1.0)], demand(50.0), 101, TERMS)
    assert made.devices["a"].counted_rps == 120.0


def test_unneeded_boards_sleep_and_are_counted_on_only_once_they_serve() -> None:
    devices = ten("MAXN", (*KIND, ASLEEP))
    state, made = plan(PlanState(), devices, demand(600.0), 0, TERMS)
    assert standing(made).count("sleep") == 8
    seen = [msgspec.structs.replace(one, at=made.devices[one.name].point) for one in devices]
    state, made = plan(state, seen, demand(900.0), 5, TERMS)
    woken = [one for one in made.devices.values() if one.point != "sleep"]
    assert len(woken) == 3
    assert made.capacity_rps == pytest.approx(660.0)
    assert [one.share for one in woken if not one.counted_rps] == [0.0]
    seen = [msgspec.structs.replace(one, at=made.devices[one.name].point, age_min=0.0) for one in devices]
    _, made = plan(state, seen, demand(900.0), 7, TERMS)
    assert made.capacity_rps >= 900.0


def test_unknown_demand_puts_everybody_at_the_strongest_and_says_so() -> None:
    _, made = plan(PlanState(), ten(), None, 0, TERMS)
    assert set(standing(made)) == {"MAXN"}
    assert made.reason == "the fleet's demand is not known: 10 at MAXN, each at its strongest"
    assert math.isinf(made.need_rps)


def test_the_sentence_says_who_carries_what() -> None:
    _, made = plan(PlanState(), ten(), Guarded(1300.0, 1400.0, "1300 rps expected + 8%"), 0, TERMS)
    who = "1 at MAXN, 1 at 15W, 8 at 7W for 1492 rps"  # nine at 7W and the pause of one switch: 1399
    assert made.reason == f"1300 rps expected + 8% = 1400 rps, carried by {who}"


def test_bad_fleets_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        plan(PlanState(), [*ten(), *ten()], None, 0, TERMS)
    with pytest.raises(ValueError, match="'a' has no envelope"):
        plan(PlanState(), [Device("a", ())], None, 0, TERMS)
    assert plan(PlanState(), [], None, 0, TERMS)[1].capacity_rps == 0.0


def test_envelopes_are_the_points_that_keep_the_promise() -> None:
    points = load_profile("orin-nano-super").points
    assert {one.point for one in envelopes_of(points, 60.0)} <= {point.name for point in points}
    assert envelopes_of(points, 0.001) == ()


def forecast(minute: int, median: float, p99: float) -> Forecast:
    return Forecast(minute, ((median, p99, p99),) * OUTPUTS, trusted=True, reason="")


def test_the_margin_is_what_the_forecast_lately_took() -> None:
    guard = DemandGuard(TERMS)
    for minute in range(FEWEST + 5):
        guard.came(minute, 100.0)
        guard.ready(minute + 2, forecast(minute, 80.0, 90.0))
    ready = guard.ready(minute + 2, forecast(minute, 80.0, 90.0))
    assert ready is not None
    assert (ready.expected_rps, ready.rps) == pytest.approx((80.0, 100.0))
    sure = guard.ready(minute + 2, forecast(minute, 80.0, 80.0))
    assert sure is not None
    assert sure.rps == pytest.approx(80.0 * (1.0 + COLD)), "sure minutes have residuals of their own"


def test_a_minute_of_which_the_forecast_is_less_certain_gets_more_margin() -> None:
    guard = DemandGuard(TERMS)
    for minute in range(FEWEST + 5):
        guard.came(minute, 100.0)
        guard.ready(minute + 2, forecast(minute, 80.0, 90.0))
    certain, uncertain = (guard.ready(minute + 2, forecast(minute, 80.0, p99)) for p99 in (90.0, 110.0))
    assert certain is not None
    assert uncertain is not None
    # 20 beyond the median came when the forecast's own spread was 10; now it is 30, which is half believed.
    more = (USUAL * 10.0 + (1.0 - USUAL) * 30.0 + 80.0 * TERMS.steady) / (10.0 + 80.0 * TERMS.steady)
    assert uncertain.rps - 80.0 == pytest.approx(more * (certain.rps - 80.0))


def test_an_untrusted_absurd_or_old_forecast_is_not_followed() -> None:
    guard = DemandGuard(TERMS)
    for minute in range(FEWEST + 5):
        guard.came(minute, 100.0)
        guard.ready(minute + 2, forecast(minute, 80.0, 90.0))
    untrusted = msgspec.structs.replace(forecast(minute, 500.0, 500.0), trusted=False)
    for bad in (untrusted, forecast(minute, math.nan, 1.0), forecast(minute - 20, 5.0, 6.0), None):
        ready = guard.ready(minute + 2, bad)
        assert ready is not None
        assert ready.expected_rps == 100.0


def test_telemetry_that_is_too_old_tells_nothing() -> None:
    guard = DemandGuard(TERMS)
    assert guard.ready(1, None) is None
    guard.came(1, 100.0)
    for bad in (math.nan, -1.0, math.inf):
        guard.came(2, bad)
    assert guard.ready(2, None) is not None
    assert guard.ready(2 + TERMS.blind_min, None) is None


def test_minutes_that_a_beat_is_sure_of_need_but_the_least_margin() -> None:
    guard = DemandGuard(TERMS)
    ready: dict[int, Guarded] = {}
    for minute in range(900):
        guard.came(minute, 100.0 + 10.0 * (minute // 10 % 7))
        made = guard.ready(minute + 2, None)
        assert made is not None
        ready[minute + 2] = made
    held = [minute for minute in range(600, 890) if minute % 10 >= 2]
    least = 1.0 + TERMS.least_margin
    assert all(
        ready[minute].rps == pytest.approx(least * (100.0 + 10.0 * (minute // 10 % 7))) for minute in held
    )
    stepping = [minute for minute in range(600, 890) if minute % 10 < 2]
    assert all(ready[minute].rps >= 100.0 + 10.0 * (minute // 10 % 7) for minute in stepping)

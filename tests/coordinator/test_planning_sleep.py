"""Boards that sleep: none without a time to serve again, never too few awake, a spare for who stays away."""

import math

import msgspec
import pytest
from benchmarks.governor import BOARDS
from benchmarks.joint.bound import JointBound
from benchmarks.joint.lives import COUNT, Scene, expected, planned
from benchmarks.sleep.bound import least_energy_j, least_watts
from benchmarks.sleep.lives import ASLEEP_W, outlooks, rested
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.planning.demand import Guarded
from tidewatt_coordinator.planning.envelopes import Envelope
from tidewatt_coordinator.planning.naps import (
    Nap,
    NapState,
    NapTerms,
    Watch,
    called,
    missing,
    nap,
    resting,
    told,
    watch,
)
from tidewatt_coordinator.planning.outlook import Outlook
from tidewatt_coordinator.planning.plan import Device
from tidewatt_coordinator.planning.residuals import FEWEST, Residuals
from tidewatt_coordinator.planning.resting import RestState, plan_rest
from tidewatt_coordinator.planning.sleepers import Sleeper
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.boards import parse_profile
from tidewatt_governor.forecast.layout import AHEAD, OUTPUTS
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.simulate.minutes import Rules

TERMS = NapTerms()
KIND = (Envelope("7W", 120.0, 7.0), Envelope("15W", 220.0, 12.0), Envelope("MAXN", 330.0, 15.0))
ASLEEP = Envelope("sleep", 0.0, 0.5, wake_s=35.0)
SMALL = (Envelope("low", 40.0, 3.0), Envelope("high", 90.0, 6.0))
SETTINGS = settings(max_examples=25)

rows = st.lists(st.lists(st.floats(0, 3300), min_size=2, max_size=14).map(tuple), min_size=1, max_size=25)


def ten(kinds: str = "a" * 10) -> list[Sleeper]:
    """A letter for each: a big board, a small one, or one that may not sleep."""
    made = {"a": (KIND, ASLEEP), "b": (SMALL, ASLEEP), "c": (KIND, None)}
    return [Sleeper(f"d{index}", *made[letter]) for index, letter in enumerate(kinds)]


def lived(sleepers: list[Sleeper], state: NapState, minute: int, stay_away: set[str]) -> list[Sleeper]:
    """The boards as they are at the start of a minute: those wake whose time has come."""
    down = set(resting(state, minute - 1)) & set(resting(state, minute))
    gone = {name for name in missing(state, minute) if name in stay_away}
    return [msgspec.structs.replace(one, up=one.name not in down | gone) for one in sleepers]


@given(rows, st.text("abc", min_size=1, max_size=10), st.sets(st.integers(0, 9), max_size=1))
@SETTINGS
def test_whoever_is_let_sleep_leaves_the_floor_and_the_spare_awake(
    outlooks: list[tuple[float, ...]], kinds: str, away: set[int]
) -> None:
    sleepers, state = ten(kinds), NapState()
    stay_away = {f"d{index}" for index in away}
    for minute, needs in enumerate(outlooks, 100):
        here = lived(sleepers, state, minute, stay_away)
        before = state
        state = nap(state, here, needs, minute, TERMS)
        for name, order in state.naps.items():
            if order == before.naps.get(name):
                continue
            assert order.since <= minute + 1
            assert minute < order.serve <= minute + 1 + TERMS.longest_nap_min
            assert order.serve - minute <= len(needs)
            for at in range(max(order.since, minute + 1), order.serve):
                up = [
                    one.most_rps
                    for one in here
                    if (one.up or one.name in state.naps)
                    and one.name not in resting(state, at)
                    and one.name not in missing(state, minute)
                ]
                assert len(up) >= TERMS.awake_at_least
                assert sum(sorted(up)[: -TERMS.spare]) >= needs[at - minute]
        assert not {one.name for one in here if one.asleep is None} & set(state.naps)
        assert set(missing(state, minute)) <= state.barred


@given(
    st.lists(st.floats(0, 3300), min_size=14, max_size=14),
    st.lists(st.floats(0, 900), min_size=14, max_size=14),
)
@SETTINGS
def test_more_demand_never_lets_more_of_like_boards_sleep(needs: list[float], more: list[float]) -> None:
    few = nap(NapState(), ten(), needs, 100, TERMS)
    fewer = nap(NapState(), ten(), [a + b for a, b in zip(needs, more, strict=True)], 100, TERMS)
    assert len(fewer.naps) <= len(few.naps)


def test_a_nap_ends_before_the_demand_for_it_begins_and_is_lengthened_when_that_stays_away() -> None:
    rise = (600.0,) * 5 + (2900.0,) * 9
    state = nap(NapState(), ten(), rise, 100, TERMS)
    assert len(state.naps) == 7
    assert {order.serve for order in state.naps.values()} == {105}
    state = nap(state, ten(), rise[1:], 101, TERMS)
    assert resting(state, 101) == dict.fromkeys(state.naps, 105)
    asleep = [msgspec.structs.replace(one, up=one.name not in state.naps) for one in ten()]
    state = nap(state, asleep, (600.0,) * 14, 104, TERMS)
    assert {order.serve for order in state.naps.values()} == {118}


def test_notice_is_void_when_the_demand_comes_after_all() -> None:
    state = nap(NapState(), ten(), (600.0,) * 14, 100, TERMS)
    assert len(state.naps) == 7
    assert not resting(state, 100)
    assert not nap(state, ten(), (2900.0,) * 14, 101, TERMS).naps


def test_where_nothing_is_known_nobody_is_sent_to_sleep_and_nobody_sleeps_on() -> None:
    assert not nap(NapState(), ten(), (), 100, TERMS).naps
    asleep = NapState(naps={"d3": Nap(90, 101)})
    here = [msgspec.structs.replace(one, up=one.name != "d3") for one in ten()]
    assert nap(asleep, here, (), 100, TERMS).naps == {"d3": Nap(90, 101)}


def test_who_stays_away_sleeps_no_more_until_somebody_says_so() -> None:
    state = NapState(naps={"d3": Nap(90, 100)})
    here = [msgspec.structs.replace(one, up=one.name != "d3") for one in ten()]
    state = nap(state, here, (600.0,) * 14, 100, TERMS)
    assert missing(state, 100) == ("d3",)
    for minute in range(101, 110):
        state = nap(state, ten(), (100.0,) * 14, minute, TERMS)
    assert "d3" not in state.naps
    assert missing(state, 110) == ()
    for minute in range(110, 112):
        state = nap(told(state, "d3"), ten(), (100.0,) * 14, minute, TERMS)
    assert "d3" in state.naps


def test_the_same_board_doesnt_sleep_always() -> None:
    state, slept = NapState(), set()
    for minute in range(100, 400):
        # A tide of forty minutes: the night's sleepers are chosen anew each time.
        level = 2300.0 if minute % 40 < 20 else 1900.0
        state = nap(state, lived(ten(), state, minute, set()), (level,) * 14, minute, TERMS)
        slept |= set(resting(state, minute))
    assert len(slept) >= 8


def demand(rps: float) -> Guarded:
    return Guarded(rps, rps * 1.03, f"{rps:.0f} rps expected + 3%")


def test_a_board_serves_while_it_has_notice_has_no_share_asleep_and_the_spare_serves_for_a_missing_one() -> (
    None
):
    devices = [Device(f"d{index}", (*KIND, ASLEEP), at="7W", age_min=2.0) for index in range(10)]
    names = frozenset(one.name for one in devices)
    state, needs = RestState(), (700.0,) * 14
    state, made = plan_rest(state, devices, names, demand(600.0), needs, 100, Terms(), TERMS)
    leaving = set(state.naps.naps)
    assert len(leaving) == 6
    assert not made.serve
    rest = sum(made.plan.devices[name].counted_rps for name in names - leaving)
    assert rest >= 618.0, "the others are raised before anybody leaves"
    state, made = plan_rest(state, devices, names, demand(600.0), needs, 101, Terms(), TERMS)
    assert set(made.serve) == leaving
    assert {made.plan.devices[name].point for name in leaving} == {"sleep"}
    assert sum(made.plan.devices[name].share for name in leaving) == 0.0
    assert made.plan.capacity_rps >= 618.0
    due = max(made.serve.values())
    gone = {name for name, serve in made.serve.items() if serve == due}
    state, made = plan_rest(state, devices, names - gone, demand(600.0), (), due, Terms(), TERMS)
    assert set(made.missing) == gone
    assert made.plan.capacity_rps >= 618.0
    assert "not back from sleep: " + ", ".join(sorted(gone)) in made.plan.reason
    with pytest.raises(ValueError, match="'a' has no envelope to serve at"):
        plan_rest(state, [Device("a", (ASLEEP,))], frozenset(), None, (), 1, Terms(), TERMS)


def test_the_outlook_learns_how_far_off_each_distance_is_and_asks_for_more_where_it_is_less_certain() -> None:
    outlook = Outlook(0.99)
    assert outlook.ahead(1) == ()
    for minute in range(FEWEST + 2 * AHEAD):
        # The forecast is right for the next five minutes and a fifth too low beyond.
        rps = ((100.0, 110.0, 110.0),) * 5 + ((80.0, 90.0, 90.0),) * (OUTPUTS - 5)
        outlook.came(minute, 100.0, Forecast(minute, rps, trusted=True, reason=""))
    ahead = outlook.ahead(minute + 2)
    assert len(ahead) == AHEAD - 1
    assert ahead == pytest.approx((100.0,) * len(ahead))
    outlook.came(minute, 500.0, None)
    outlook.came(minute + 1, math.nan, None)
    assert outlook.ahead(minute + 2) == ahead


def callable_ten() -> list[Sleeper]:
    return [msgspec.structs.replace(one, callable=True) for one in ten()]


@given(rows)
@SETTINGS
def test_who_can_be_called_is_as_soon_as_too_few_would_serve_when_it_could_be_back(
    outlooks: list[tuple[float, ...]],
) -> None:
    state, down = NapState(), set[str]()
    for minute, needs in enumerate(outlooks, 100):
        likely = tuple(0.8 * rps for rps in needs)
        here = [msgspec.structs.replace(one, up=one.name not in down) for one in callable_ten()]
        before, state = state, nap(state, here, needs, minute, TERMS, likely)
        rests, calls = set(resting(state, minute)), set(called(before, state))
        serving = 330.0 * (10 - len(rests - calls))
        if calls or rests:
            # In the next minute: all that a call can bring back are called, or it is enough.
            back = [
                one
                for one in rests
                if state.naps[one].back == minute + 1 or state.naps[one].serve == minute + 1
            ]
            room = 330.0 * (10 - len(rests) + len(back))
            woken = rests & down
            assert room >= needs[1] or woken <= set(back)
            assert room - 330.0 >= likely[1] or woken <= set(back)
        assert serving >= TERMS.awake_at_least * 330.0
        assert all(
            minute < order.serve <= minute + 1 + TERMS.longest_nap_min for order in state.naps.values()
        )
        down = {
            one for one in rests if min(state.naps[one].back or 10**6, state.naps[one].serve) > minute + 1
        }


def test_who_can_be_called_sleeps_past_a_rise_that_may_come_and_a_call_unheard_means_nothing() -> None:
    rise = (600.0,) * 5 + (2900.0,) * 9
    likely = (600.0,) * 14
    state = nap(NapState(), callable_ten(), rise, 100, TERMS, likely)
    assert {order.serve for order in state.naps.values()} == {101 + TERMS.longest_nap_min}
    state = nap(state, callable_ten(), rise[1:], 101, TERMS, likely)
    down = set(state.naps)
    asleep = [msgspec.structs.replace(one, up=one.name not in down) for one in callable_ten()]
    state, before = nap(state, asleep, rise[4:], 104, TERMS, likely), state
    assert set(called(before, state)) == down - {max(down)}, "the spare, and six beside three that serve"
    assert {state.naps[name].back for name in called(before, state)} == {105}
    deaf = min(called(before, state))
    here = [msgspec.structs.replace(one, up=one.name not in (deaf, max(down))) for one in asleep]
    later = nap(state, here, (600.0,) * 14, 105, TERMS, likely)
    assert missing(later, 105) == ()
    assert deaf not in later.barred
    assert called(state, later) == (max(down),), "another is, in its place, whatever is needed by now"


def test_who_did_not_hear_a_call_is_counted_on_no_more_nor_called_again_until_it_is_heard_of() -> None:
    state = NapState(naps={"d3": Nap(90, 110, back=104), "d4": Nap(90, 118), "d5": Nap(90, 119)})
    here = [msgspec.structs.replace(one, up=one.name not in state.naps) for one in callable_ten()]
    likely = (1900.0,) * 14
    after = nap(state, here, (2310.0,) * 14, 105, TERMS, likely)
    assert not called(state, after), "seven that serve are enough, and it isn't missed anew"
    assert "d3" not in {row.device for row in watch(after, here, 105, TERMS)}
    after = nap(state, here, (2310.0,) + (2600.0,) * 13, 105, TERMS, likely)
    assert set(called(state, after)) == {"d4"}, "its alarm in five minutes counts for nothing"


def test_who_can_be_called_is_a_minute_before_it_is_needed_so_that_another_can_be_in_its_stead() -> None:
    rise = (600.0, 600.0, 2000.0) + (2000.0,) * 11
    naps = {f"d{index}": Nap(90, 118) for index in range(7)}
    here = [msgspec.structs.replace(one, up=one.name not in naps) for one in callable_ten()]
    state = nap(NapState(naps=naps), here, rise, 100, TERMS, (600.0,) * 14)
    assert len(called(NapState(naps=naps), state)) == 4
    assert {order.back for order in state.naps.values() if order.back} == {101}
    fresh = nap(NapState(), callable_ten(), (600.0, 600.0, 600.0, 2900.0) + (600.0,) * 10, 100, TERMS)
    assert not fresh.naps, "who went now would have to be called at once"


def test_a_watch_says_above_which_rate_whom_to_wake_and_who_was_woken_early_stands_at_its_strongest() -> None:
    naps = {name: Nap(90, serve) for name, serve in (("d3", 120), ("d5", 110), ("d7", 101))}
    here = [msgspec.structs.replace(one, up=one.name not in naps) for one in callable_ten()]
    state = NapState(naps=naps)
    above = 1.0 + TERMS.watch_margin
    assert watch(state, here, 100, TERMS) == (
        Watch(7 * 330.0 / above, "d5"),
        Watch(8 * 330.0 / above, "d3"),
    ), "of those who are to come, d7 or who is called beside it, one may not"
    leaving = msgspec.structs.replace(state, naps={**naps, "d7": Nap(101, 120)})
    there = [msgspec.structs.replace(one, up=one.name not in ("d3", "d5")) for one in here]
    assert watch(leaving, there, 100, TERMS) == (
        Watch(7 * 330.0 / above, "d7"),
        Watch(8 * 330.0 / above, "d5"),
        Watch(8 * 330.0 / above, "d3"),
    ), "who has notice stays, and of two sleepers one may not come"
    assert watch(state, ten(), 100, TERMS) == ()
    devices = [Device(f"d{index}", (*KIND, ASLEEP), at="7W", age_min=2.0) for index in range(10)]
    names = frozenset(one.name for one in devices)
    _, made = plan_rest(
        RestState(naps=state), devices, names, demand(600.0), (2000.0,) * 14, 100, Terms(), TERMS
    )
    assert {made.plan.devices[name].point for name in ("d3", "d5")} == {"MAXN"}


def test_a_margin_is_what_it_is_worth() -> None:
    known = Residuals(0.99)
    for index in range(1000):
        known.add(1.0 if index % 100 == 0 else 5.0 if index % 100 == 1 else 0.0)
    assert known.margin_rps(10.0, None) == pytest.approx(50.0)
    assert known.margin_rps(10.0, 10_000.0) == pytest.approx(50.0)
    assert known.margin_rps(10.0, 2_000.0) == pytest.approx(10.0)
    assert known.margin_rps(10.0, 100.0) == 0.0


RULES = Rules(
    profile=parse_profile((BOARDS / "reference-flat.toml").read_text("utf-8"), name="reference-flat"),
    slo_p95_ms=60.0,
)


def test_the_bound_with_sleep_is_every_combinations_least_and_waking_is_paid_for() -> None:
    points = RULES.profile.points
    rates = [0.0, 119.0, 700.0, 1500.0, 3300.0, 3400.0]
    table = least_watts(points, COUNT, ASLEEP_W, rates)
    asleep = msgspec.structs.replace(points[0], name="sleep", capacity_rps=0.0, idle_watts=ASLEEP_W)
    bound = JointBound((*points, asleep), COUNT)
    assert table.min(axis=0).tolist() == pytest.approx([bound.watts(rps) for rps in rates])
    assert least_energy_j(table, 0.0) == pytest.approx(60.0 * sum(bound.watts(rps) for rps in rates))
    assert least_energy_j(table, 100.0) > least_energy_j(table, 0.0)


@pytest.mark.parametrize("failing", [False, True])
def test_a_tide_is_served_asleep_with_less_than_awake_also_when_one_board_never_wakes(failing: bool) -> None:
    rates = [
        1500.0 - 1000.0 * math.cos(minute * math.tau / 360.0) + 20.0 * math.sin(minute * 1.7)
        for minute in range(560)
    ]
    scene = Scene(rules=RULES, rates=rates, begins=1, first=30)
    terms = Terms()
    demands = expected(scene, {}, terms)
    slept = rested(scene, demands, outlooks(scene, {}, TERMS.tail_quantile), terms, TERMS, failing=failing)
    awake = planned(scene, demands, terms)
    bound = least_energy_j(least_watts(RULES.profile.points, COUNT, ASLEEP_W, rates[30:]), 0.0)
    assert bound < slept.lived.energy_j < 0.95 * awake.energy_j
    assert slept.lived.violating == 0
    assert slept.lost == 0.0
    assert slept.fewest_up >= TERMS.awake_at_least
    assert (slept.failures > 0) == failing

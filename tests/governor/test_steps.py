"""Traffic in steps: the beat is seen, nothing is planned for between steps, and everything at one."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_governor.boards import load_profile
from tidewatt_governor.choice import planned_demand
from tidewatt_governor.decide import Decision, GovernorState, decide
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.sample import Load
from tidewatt_governor.steps import STEPS, beat_of, with_change
from tidewatt_wire.messages import Policy

BOARD = load_profile("orin-nano-super")
POLICY = Policy(headroom=0.02, demand_window_s=180.0)
#: Rates that differ from one to the next.
RATES = [100.0, 60.0, 80.0, 130.0, 70.0, 90.0]


def lived(rates: list[float], policy: Policy = POLICY) -> tuple[GovernorState, Decision]:
    """The state and the last decision after so many whole minutes."""
    state, decision = GovernorState(point="25W", since_s=-1e6), None
    for minute, rate in enumerate(rates):
        load = Load(requests=round(60 * rate), interval_s=60.0)
        now_s = 60.0 * minute + 59.0
        state, decision = decide(state, load, policy, BOARD.points, BOARD.vendor_default, now_s)
    assert decision is not None
    return state, decision


def stepped(beat: int, steps: int) -> list[float]:
    return [RATES[step % len(RATES)] for step in range(steps) for _ in range(beat)]


@given(st.integers(3, 30), st.integers(0, 1000), st.lists(st.integers(1, 3), min_size=STEPS + 1, max_size=40))
def test_a_beat_is_seen_though_some_steps_changed_nothing(beat: int, first: int, gaps: list[int]) -> None:
    changes: tuple[int, ...] = ()
    for at in [first, *gaps]:
        changes = with_change(changes, (changes[-1] if changes else 0) + (at * beat if changes else at))
    found = beat_of(changes)
    assert found is not None
    assert found.minutes % beat == 0
    assert found.since(changes[-1]) == 0
    assert found.left(changes[-1]) == found.minutes - 1
    assert found.left(changes[-1] - 1) == 0


def test_one_change_beside_the_beat_ends_the_belief() -> None:
    on_it = [5 * step for step in range(STEPS + 3)]
    assert beat_of(on_it) is not None
    assert beat_of([*on_it, on_it[-1] + 4]) is None
    assert beat_of([*on_it, on_it[-1] + 1]) is None
    assert beat_of(on_it[: STEPS - 1]) is None, "too few to tell"
    assert beat_of(list(range(0, 60, 2))) is None, "two minutes leave nothing to be sure of"
    assert beat_of(list(range(60))) is None


def test_a_step_within_a_minute_is_seen_in_two() -> None:
    found = beat_of([minute for step in range(STEPS + 3) for minute in (10 * step, 10 * step + 1)])
    assert found is not None
    assert (found.minutes, found.width) == (10, 2)
    assert [found.left(minute) for minute in (100, 101, 102, 109)] == [0, 8, 7, 0]


def test_between_steps_the_rate_that_holds_is_enough_and_before_one_it_is_not() -> None:
    for into in range(10):
        rates = stepped(10, 61)[: 600 + into + 1]
        state, _ = lived(rates)
        between = into < 8
        assert planned_demand(state, POLICY) == (
            pytest.approx(100.0 * 1.035) if between else pytest.approx(100.0 * 130.0 / 80.0)
        )


def test_the_sentence_tells_of_the_step() -> None:
    _, decision = lived(stepped(5, 60))
    assert "(90 rps hold, the next step in 1 min, + 62%)" in decision.reason


def test_a_rise_beside_the_beat_is_planned_for_at_once() -> None:
    state, _ = lived([*stepped(10, 60), *[RATES[0]] * 4, 250.0])
    assert planned_demand(state, POLICY) >= 250.0 * 1.02
    later, _ = lived([*stepped(10, 60), *[RATES[0]] * 4, 250.0, 240.0, 235.0])
    assert later.guard.stepped.beat is None
    assert planned_demand(later, POLICY) >= 250.0 * 1.02


def test_no_forecast_is_needed_for_minutes_that_are_sure() -> None:
    rates = [*stepped(10, 60), *[RATES[0]] * 3]
    state, _ = lived(rates)
    high = Forecast(minute=len(rates) - 1, rps=((900.0, 900.0, 900.0),) * 17, trusted=True, reason="")
    now_s, load = 60.0 * len(rates) - 1.0, Load(requests=6000, interval_s=60.0)
    plain = decide(state, load, POLICY, BOARD.points, BOARD.vendor_default, now_s)[1]
    told = decide(state, load, POLICY, BOARD.points, BOARD.vendor_default, now_s, forecast=high)[1]
    assert told == plain
    before_a_step, _ = lived([*rates, *[RATES[0]] * 6])
    now_s += 360.0
    high = msgspec.structs.replace(high, minute=high.minute + 6)
    raised = decide(before_a_step, load, POLICY, BOARD.points, BOARD.vendor_default, now_s, forecast=high)[1]
    assert "900" in raised.reason or "918" in raised.reason


@given(
    st.integers(3, 10),
    st.integers(0, 9),
    st.lists(st.sampled_from([0.0, *RATES, 300.0]), min_size=16, max_size=40),
    st.floats(0, 500),
    st.floats(0, 500),
)
@settings(max_examples=60)
def test_more_demand_now_never_plans_less(
    beat: int, into: int, rows: list[float], one: float, other: float
) -> None:
    past = [rate for rate in rows for _ in range(beat)][: len(rows) * beat - into]
    low, high = sorted((one, other))
    low_rps, high_rps = (planned_demand(lived([*past, now])[0], POLICY) for now in (low, high))
    assert low_rps <= high_rps + 1e-6

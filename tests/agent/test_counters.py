"""Counters conserve: what was measured is counted once, what wasn't is counted as such."""

from hypothesis import given
from hypothesis import strategies as st

from tidewatt_agent.counters import Tally, add_power, add_tick
from tidewatt_governor.sample import Load

readings = st.lists(st.tuples(st.floats(0, 30), st.none() | st.floats(0, 100)), max_size=60)


@given(readings)
def test_energy_is_the_sum_of_what_every_reading_stood_for(steps: list[tuple[float, float | None]]) -> None:
    tally = add_power(Tally(), 5.0, 0.0, 10.0)
    at_s = energy_j = unmeasured_s = 0.0
    for seconds, watts in steps:
        at_s += seconds
        before = tally.counters
        tally = add_power(tally, watts, at_s, 10.0)
        if watts is None or seconds > 10.0 + 1e-9:
            unmeasured_s += seconds
        elif seconds < 10.0 - 1e-9:
            energy_j += watts * seconds
        else:
            return  # at the very limit rounding decides; nothing is claimed
        assert tally.counters.energy_mj >= before.energy_mj
        assert tally.counters.unmeasured_ms >= before.unmeasured_ms
    assert abs(tally.counters.energy_mj - energy_j * 1000) < 1.001
    assert abs(tally.counters.unmeasured_ms - unmeasured_s * 1000) <= 0.5 * len(steps) + 1e-6


def test_the_first_reading_stands_for_nothing_yet() -> None:
    assert add_power(Tally(), 50.0, 1e9, 10.0).counters == Tally().counters


def test_a_clock_that_steps_back_takes_nothing_away() -> None:
    tally = add_power(add_power(Tally(), 5.0, 100.0, 10.0), 5.0, 101.0, 10.0)
    assert add_power(tally, 5.0, 50.0, 10.0).counters == tally.counters


ticks = st.tuples(
    st.none() | st.sampled_from(["7W", "15W"]),
    st.integers(0, 60_000),
    st.none() | st.booleans(),
    st.booleans(),
)


@given(st.lists(ticks, max_size=30))
def test_time_in_modes_adds_up(lived: list[tuple[str | None, int, bool | None, bool]]) -> None:
    tally = Tally()
    for point, elapsed_ms, violating, switched in lived:
        tally = add_tick(
            tally,
            point=point,
            elapsed_ms=elapsed_ms,
            load=Load(requests=3, interval_s=1.0),
            violating=violating,
            switched=switched,
        )
    now = tally.counters
    assert sum(now.mode_ms.values()) == sum(ms for _, ms, _, _ in lived)
    assert now.mode_ms.get("unknown", 0) == sum(ms for point, ms, _, _ in lived if point is None)
    assert now.violating_ms == sum(ms for _, ms, bad, _ in lived if bad)
    runs, run = [0], 0
    for _, ms, bad, _ in lived:
        run = 0 if bad is False else run + (ms if bad else 0)
        runs.append(run)
    assert now.longest_violation_ms == max(runs)
    assert now.unjudged_ms == sum(ms for _, ms, bad, _ in lived if bad is None)
    assert now.requests == 3 * len(lived)
    assert now.switches == sum(switched for _, _, _, switched in lived)

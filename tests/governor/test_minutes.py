"""The bound on every way of choosing is one: nobody who lives under the same rules does better."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_governor.boards import load_profile
from tidewatt_governor.simulate.minutes import Rules, clairvoyant, lived

BOARD = load_profile("orin-nano-super")
NAMES = [point.name for point in BOARD.points]
RULES = Rules(profile=BOARD, slo_p95_ms=60.0)


@given(st.lists(st.floats(0, 400), min_size=1, max_size=5), st.sampled_from(NAMES), st.integers(1, 3))
@settings(max_examples=40)
def test_no_row_of_wishes_beats_the_clairvoyant(demand: list[float], start: str, dwell: int) -> None:
    rules = msgspec.structs.replace(RULES, dwell_min=dwell)
    best = lived(rules, demand, clairvoyant(rules, demand, start), start)
    for wishes in itertools.product(NAMES, repeat=len(demand)):
        other = lived(rules, demand, wishes, start)
        assert (best.violating, best.energy_j) <= (other.violating, other.energy_j + 1e-6)


def test_its_row_is_obeyed_to_the_letter() -> None:
    demand = [50.0, 300.0, 20.0, 20.0, 310.0, 340.0, 10.0, 10.0, 10.0]
    path = clairvoyant(RULES, demand, "25W")
    run = lived(RULES, demand, path, "25W")
    assert run.switches == sum(a != b for a, b in itertools.pairwise(["25W", *path]))


def test_a_switch_costs_its_pause_and_a_dwell_holds() -> None:
    patient, demand = msgspec.structs.replace(RULES, slo_p95_ms=1e6), [329.5, 329.5]
    assert lived(patient, demand, ["25W", "25W"], "25W").violating == 0
    late = lived(patient, demand, ["25W", "25W"], "15W")
    assert late.violating == 1, "for half a second it served nothing, and that was too long"
    stuck = lived(RULES, [10.0, 10.0, 340.0], ["25W", "7W", "MAXN_SUPER"], "25W")
    assert (stuck.violating, stuck.switches) == (1, 1)


def test_energy_is_the_points_own() -> None:
    run = lived(RULES, [100.0] * 60, ["25W"] * 60, "25W")
    assert run.energy_j == pytest.approx(3600 * (4.8 + 100 * 0.03697))
    assert (run.longest, run.minutes) == (0, 60)

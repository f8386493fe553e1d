"""Weights: whole, stable, cheap first, and in proportion within a tier."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.dispatch import PARTS, Backend, largest_remainder, weigh

backends = st.lists(
    st.builds(
        Backend,
        name=st.from_regex("[a-z]{1,4}", fullmatch=True),
        usable_rps=st.floats(0, 1000),
        marginal_cost=st.sampled_from([0.0, 1e-9, 2e-9]),
    ),
    max_size=12,
    unique_by=lambda backend: backend.name,
)


@given(backends, st.floats(0, 20_000), st.floats(0.1, 1.0), st.randoms(use_true_random=False))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_weights_are_whole_and_do_not_depend_on_order(
    some: list[Backend], demand: float, fill: float, chance: random.Random
) -> None:
    weights = weigh(some, demand, fill)
    able = {backend.name for backend in some if backend.usable_rps > 0}
    assert set(weights.parts) <= able
    assert sum(weights.parts.values()) == (PARTS if able else 0)
    assert weights.reason
    shuffled = list(some)
    chance.shuffle(shuffled)
    assert weigh(shuffled, demand, fill) == weights


@given(backends, st.floats(1, 20_000), st.floats(0.1, 1.0))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_no_backend_is_planned_over_its_fill_when_the_demand_fits(
    some: list[Backend], demand: float, fill: float
) -> None:
    capacity = sum(backend.usable_rps for backend in some)
    if fill * capacity < demand:
        return
    for backend in some:
        share = weigh(some, demand, fill).parts.get(backend.name, 0) / PARTS
        assert share * demand <= fill * backend.usable_rps + demand / PARTS + 1e-6


def test_cheap_first() -> None:
    cheap, dear = Backend("cheap", 100, 1e-9), Backend("dear", 100, 2e-9)
    assert weigh([dear, cheap], 50, 0.85).parts == {"cheap": PARTS, "dear": 0}
    assert weigh([dear, cheap], 170, 0.85).parts == {"cheap": 5000, "dear": 5000}
    assert weigh([dear, cheap], 100, 0.85).parts == {"cheap": 8500, "dear": 1500}
    beyond = weigh([dear, Backend("cheap", 300, 1e-9)], 1000, 0.85)
    assert beyond.parts == {"cheap": 7500, "dear": 2500}
    assert beyond.reason == "demand 1000 rps: in proportion to the capacity of 2 backends"


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(1e-6, 1e6), min_size=1, max_size=30))
@settings(derandomize=True, deadline=None)
def test_largest_remainder_is_within_one_part(shares: dict[str, float]) -> None:
    parts = largest_remainder(shares)
    total = sum(shares.values())
    assert sum(parts.values()) == PARTS
    assert all(abs(parts[name] - share / total * PARTS) < 1 + 1e-6 for name, share in shares.items())

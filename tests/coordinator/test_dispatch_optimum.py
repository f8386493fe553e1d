"""The exact way and the linear program agree, and both prove it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import pools

from tidewatt_coordinator.dispatch import general, nested
from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.certificate import certify
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Floats, Pool, survey
from tidewatt_coordinator.dispatch.quantise import largest_remainder, whole_parts
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.dispatch.water import Basin

often = settings(max_examples=150)


def nested_pool(seed: int, size: int, kinds: int, load: float) -> Pool:
    """Classes of rising limits over backends of every ring; some costs alike."""
    chance = np.random.default_rng(seed)
    ring = chance.integers(0, kinds + 1, size)
    served = ring[:, None] <= np.arange(kinds)[None, :]
    capacity = chance.uniform(0.0, 400.0, size)
    return Pool(
        capacity=capacity,
        cost=np.round(chance.uniform(1.0, 10.0, size), chance.integers(0, 4)) * 1e-6,
        egress=np.zeros(size),
        bytes=np.zeros(kinds),
        demand=chance.dirichlet(np.ones(kinds)) * capacity.sum() * load,
        slow=np.where(served, 0.0, 1.0),
        bearable=np.full(kinds, 0.05),
        served=served,
        shed_price=np.array([0.5, 1.0, 2.0])[chance.integers(0, 3, kinds)],
    )


def none(pool: Pool) -> Floats:
    """No floors."""
    return np.zeros(len(pool.cost))


def cost(pool: Pool, plan: Plan) -> float:
    """Of serving and refusing, per second."""
    return float((plan.placed * pool.costs()).sum() + (pool.demand - plan.admitted) @ pool.shed_price)


@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 5), st.floats(0.01, 1.3))
@often
def test_the_exact_way_equals_the_linear_program(seed: int, size: int, kinds: int, load: float) -> None:
    pool = nested_pool(seed, size, kinds, load)
    found = nested.rings(pool.keeps)
    assert found is not None
    exact = nested.solve(pool, found, pool.capacity, spread=0.0, floors=none(pool))
    program = general.solve(pool, pool.keeps, pool.capacity, spread=0.0, floors=none(pool), mixture=False)
    assert cost(pool, exact) == pytest.approx(cost(pool, program), rel=1e-9, abs=1e-15)
    assert np.all(exact.placed.sum(axis=1) <= pool.capacity * (1.0 + 1e-12))
    assert exact.placed.sum(axis=0) == pytest.approx(exact.admitted, rel=1e-9, abs=1e-9)
    assert not np.any(exact.placed[~pool.keeps])


@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 5), st.floats(0.01, 1.3))
@often
def test_the_exact_plan_is_proved_by_its_own_prices(seed: int, size: int, kinds: int, load: float) -> None:
    """Also where capacity is short: the prices are then those of refusing."""
    pool = nested_pool(seed, size, kinds, load)
    found = nested.rings(pool.keeps)
    assert found is not None
    plan = nested.solve(pool, found, pool.capacity, spread=0.0, floors=none(pool))
    names = [RequestClass(str(k), 1.0) for k in range(kinds)]
    backends = [Backend(str(row), 1.0, 0.0) for row in range(size)]
    shares = plan.placed / np.where(plan.admitted > 0.0, plan.admitted, 1.0)
    proof = certify(backends, names, pool, pool.keeps, plan, shares)
    assert proof.lower_bound == pytest.approx(proof.cost, rel=1e-9, abs=1e-12)


@given(st.integers(0, 2**32), st.floats(0.05, 1.0), st.floats(1e-4, 0.1))
@often
def test_the_convex_term_costs_little_and_makes_alike_alike(seed: int, load: float, spread: float) -> None:
    pool = nested_pool(seed, 20, 3, load)
    found = nested.rings(pool.keeps)
    assert found is not None
    least = nested.solve(pool, found, pool.capacity, spread=0.0, floors=none(pool))
    plan = nested.solve(pool, found, pool.capacity, spread=spread * 1e-6, floors=none(pool))
    assert cost(pool, least) * (1.0 - 1e-9) <= cost(pool, plan)
    assert cost(pool, plan) - cost(pool, least) <= spread * 1e-6 * float(pool.capacity.sum()) / 2.0
    use = plan.placed.sum(axis=1) / np.maximum(pool.capacity, 1e-12)
    for one in range(20):
        for other in range(one):
            if pool.cost[one] == pool.cost[other] and found.ring[one] == found.ring[other]:
                assert use[one] == pytest.approx(use[other], abs=1e-6)


@given(st.integers(0, 2**32), st.floats(0.05, 0.9))
@often
def test_weights_move_no_more_than_costs_do(seed: int, load: float) -> None:
    """The convex term makes the split Lipschitz in the costs: no flip from a hair's difference."""
    pool = nested_pool(seed, 15, 1, load)
    found = nested.rings(pool.keeps)
    assert found is not None
    spread, change = 1e-6, 1e-9
    chance = np.random.default_rng(seed)
    other = pool.__class__(**{**vars(pool), "cost": pool.cost + chance.uniform(-change, change, 15)})
    here = nested.solve(pool, found, pool.capacity, spread=spread, floors=none(pool)).placed
    there = nested.solve(other, found, pool.capacity, spread=spread, floors=none(pool)).placed
    assert np.abs(here - there).sum() <= 2.0 * change / spread * pool.capacity.sum() + 1e-6


@given(pools.backends(), pools.classes(), st.booleans())
@often
def test_the_linear_program_is_near_its_bound(
    fleet: list[Backend], asked: list[RequestClass], mixture: bool
) -> None:
    terms = Terms(absorb_loss=False, mixture=mixture)
    pool = survey(fleet, asked, terms)
    if not pool.served.any():
        return
    allowed = pool.served if mixture else pool.keeps
    plan = general.solve(pool, allowed, pool.capacity, spread=0.0, floors=none(pool), mixture=mixture)
    shares = plan.placed / np.where(plan.admitted > 0.0, plan.admitted, 1.0)
    proof = certify(fleet, asked, pool, allowed, plan, shares)
    assert proof.cost >= proof.lower_bound * (1.0 - 1e-9)
    assert proof.cost <= proof.lower_bound * (1.0 + 1e-6) + 1e-12


def test_regions_that_cross_are_not_nested() -> None:
    assert nested.rings(np.array([[True, False], [False, True]])) is None
    assert nested.rings(np.array([[True, True], [False, True]])) is not None


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20), st.floats(0.0, 1.0), st.floats(0.0, 3.0))
@often
def test_water_finds_its_level(capacities: list[float], part: float, spread: float) -> None:
    costs = np.sort(np.arange(len(capacities)) * 0.7 % 3.0)
    basin = Basin(costs, np.array(capacities), part * sum(capacities))
    filled = basin.filled(basin.level(spread), spread)
    assert filled.sum() == pytest.approx(basin.rate, rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=30), st.integers(1, 10**6))
@often
def test_parts_of_arrays_are_those_of_names(shares: list[float], parts: int) -> None:
    named = largest_remainder({f"{place:03}": share for place, share in enumerate(shares)}, parts)
    whole = whole_parts(np.array(shares), parts)
    assert whole.sum() == parts
    assert np.abs(whole - np.array(list(named.values()))).max() <= 1

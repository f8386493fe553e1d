"""Backends that are all different, in groups: near the optimum, provably, and within every limit."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import pools

from tidewatt_coordinator.dispatch import general
from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.certificate import certify
from tidewatt_coordinator.dispatch.checker import faults
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.grouping import cells, kinds_of, merged
from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Pool
from tidewatt_coordinator.dispatch.table import Certificate
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.dispatch.weighing import next_table

often = settings(max_examples=100)
SIZE, KINDS = 80, 4
seeds, loads = st.integers(0, 2**32), st.floats(0.05, 1.2)


@pytest.fixture(scope="module", autouse=True)
def _in_groups() -> Iterator[None]:
    """Few backends are put in groups as many are."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(general, "MOST", 4)
        patched.setattr(general, "SEEN", 8)
        yield


def different(seed: int, load: float, size: int = SIZE) -> Pool:
    """Every backend with costs, waits and regions of its own."""
    chance = np.random.default_rng(seed)
    capacity = chance.uniform(0.0, 400.0, size)
    return Pool(
        capacity=capacity,
        cost=chance.uniform(1.0, 10.0, size) * 1e-6,
        egress=chance.uniform(0.0, 9e-11, size),
        bytes=chance.uniform(0.0, 1e5, KINDS),
        demand=chance.dirichlet(np.ones(KINDS)) * capacity.sum() * load,
        slow=-np.sort(-chance.uniform(0.0, 0.1, (size, KINDS)), axis=1),
        bearable=np.full(KINDS, 0.05),
        served=chance.random((size, KINDS)) < chance.uniform(0.3, 1.0),
        shed_price=np.array([0.5, 1.0, 2.0])[chance.integers(0, 3, KINDS)],
    )


def solved(pool: Pool, *, mixture: bool, spread: float = 0.0) -> tuple[Plan, Flags, Certificate]:
    allowed = pool.served if mixture else pool.keeps
    size, kinds = pool.slow.shape
    plan = general.solve(pool, allowed, pool.capacity, spread=spread, floors=np.zeros(size), mixture=mixture)
    shares = plan.placed / np.where(plan.admitted > 0.0, plan.admitted, 1.0)
    names = [RequestClass(str(k), 1.0) for k in range(kinds)]
    backends = [Backend(str(row), 1.0, 0.0) for row in range(size)]
    return plan, allowed, certify(backends, names, pool, allowed, plan, shares)


@given(seeds, loads, st.booleans())
@often
def test_groups_cost_no_more_than_their_certificate_says(seed: int, load: float, mixture: bool) -> None:
    pool = different(seed, load)
    _, _, proof = solved(pool, mixture=mixture)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(general, "MOST", SIZE)
        _, _, exact = solved(pool, mixture=mixture)
    assert exact.cost <= proof.cost * (1.0 + 1e-9)
    assert proof.lower_bound <= exact.cost * (1.0 + 1e-9)
    assert proof.gap <= 1e-2


@given(seeds, loads, st.booleans(), st.sampled_from([0.0, 1e-8]))
@often
def test_groups_keep_every_limit(seed: int, load: float, mixture: bool, spread: float) -> None:
    pool = different(seed, load)
    plan, allowed, _ = solved(pool, mixture=mixture, spread=spread)
    assert np.all(plan.placed.sum(axis=1) <= pool.capacity * (1.0 + 1e-9))
    assert plan.placed.sum(axis=0) == pytest.approx(plan.admitted, rel=1e-9, abs=1e-9)
    assert not np.any(plan.placed[~allowed])
    if mixture:
        slow = (plan.placed * pool.slow).sum(axis=0)
        assert np.all(slow <= pool.bearable * plan.admitted * (1.0 + 1e-6) + 1e-6)


@given(seeds, st.floats(0.05, 0.8), st.booleans())
@often
def test_those_that_are_the_same_do_the_same_whatever_their_place(
    seed: int, load: float, mixture: bool
) -> None:
    pool = different(seed, load, SIZE // 2)
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(SIZE // 2), 2))
    rows = {"capacity", "cost", "egress", "slow", "served"}
    twice = replace(pool, **{name: getattr(pool, name)[order] for name in rows}, demand=pool.demand * 2.0)
    plan, _, _ = solved(twice, mixture=mixture, spread=1e-8)
    for one in range(SIZE // 2):
        here, there = np.flatnonzero(order == one)
        assert plan.placed[here] == pytest.approx(plan.placed[there], rel=1e-9, abs=1e-9)


@given(seeds, st.integers(1, 64))
@often
def test_a_group_is_the_mean_of_its_members(seed: int, most: int) -> None:
    pool = different(seed, 0.5)
    kinds = kinds_of(pool, pool.served, pool.capacity, np.zeros(SIZE), mixture=True)
    part = cells(kinds, most)
    groups = merged(kinds, part)
    assert len(groups.capacity) <= most
    assert groups.capacity.sum() == pytest.approx(pool.capacity.sum())
    for k in range(KINDS):
        assert groups.capacity @ groups.costs[:, k] == pytest.approx(kinds.capacity @ kinds.costs[:, k])
        for group in range(len(groups.capacity)):
            assert groups.allowed[group, k] == kinds.allowed[part == group, k].all()


@given(pools.backends(most=20), pools.classes(), pools.terms())
@often
def test_every_table_by_groups_passes_the_checker(
    fleet: list[Backend], asked: list[RequestClass], terms: Terms
) -> None:
    table = next_table(fleet, asked, terms)
    assert faults(table, fleet, asked, terms) == []

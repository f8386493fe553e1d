"""Seeded pools of many backends, to time the solvers on."""

import dataclasses

import numpy as np

from tidewatt_coordinator.dispatch.pool import Pool


def random_pool(size: int, kinds: int, seed: int = 9) -> Pool:
    """Nested classes over backends of unlike cost and capacity, with room for all."""
    chance = np.random.default_rng(seed)
    ring = chance.integers(0, kinds, size)
    served = ring[:, None] <= np.arange(kinds)[None, :]
    capacity = chance.uniform(50.0, 400.0, size)
    own = np.bincount(ring, weights=capacity, minlength=kinds)
    return Pool(
        capacity=capacity,
        cost=chance.uniform(1.0, 10.0, size) * 1e-6,
        egress=np.zeros(size),
        bytes=np.zeros(kinds),
        demand=own * chance.uniform(0.2, 0.9, kinds),
        slow=np.where(served, 0.0, 1.0),
        bearable=np.full(kinds, 0.05),
        served=served,
        shed_price=np.ones(kinds),
    )


def kinds_pool(size: int, classes: int, kinds: int, seed: int = 9) -> Pool:
    """As fleets are: few kinds of backend, each with its costs, egress and latencies; no nesting."""
    chance = np.random.default_rng(seed)
    kind = chance.integers(0, kinds, size)
    slow = -np.sort(-chance.uniform(0.0, 0.1, (kinds, classes)), axis=1)
    plain = random_pool(size, classes)
    return dataclasses.replace(
        plain,
        cost=chance.uniform(1.0, 10.0, kinds)[kind] * 1e-6,
        egress=np.array([0.0, 8.5e-11, 9e-11])[chance.integers(0, 3, kinds)][kind],
        bytes=chance.uniform(0.0, 1e5, classes),
        slow=slow[kind],
        served=np.ones((size, classes), dtype=np.bool_),
        demand=plain.demand * 0.5,
    )


def different_pool(size: int, classes: int, seed: int = 9) -> Pool:
    """No two alike, and regions that cross: every backend may serve four classes of five, by chance."""
    chance = np.random.default_rng(seed)
    alone = dataclasses.replace(
        kinds_pool(size, classes, size, seed),
        egress=chance.uniform(0.0, 9e-11, size),
        served=chance.random((size, classes)) < 0.8,  # noqa: PLR2004 - as said
    )
    able = alone.keeps.any(axis=1)
    first = np.where(able, alone.keeps.argmax(axis=1), classes)
    own = np.bincount(first, weights=alone.capacity, minlength=classes + 1)[:classes]
    return dataclasses.replace(alone, demand=own * chance.uniform(0.2, 0.9, classes))

"""The exact way where classes are nested and cost depends on the backend alone. Pure.

Nested: ordered from the tightest, each class may use all that the one before may, and more: its ring. The
ring of a class serves it and all looser ones. Each ring alone is filled like water; where a tighter ring
stands lower than the next looser one, the looser class flows in and the two become one basin (pool adjacent
violators). What is left has levels that fall from tight to loose, which is what optimality asks for, with a
strictly convex cost as without: the answer is unique and its cost is the linear program's.
"""

from dataclasses import dataclass

import numpy as np

from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool, Whole
from tidewatt_coordinator.dispatch.water import Basin, Level

#: Of sums of rates.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Rings:
    """Classes from the tightest, and the ring of every backend."""

    order: Whole
    """(K,) classes, tightest first."""
    ring: Whole
    """(n,) the first place in the order whose class the backend may serve; K for none."""


def rings(allowed: Flags) -> Rings | None:
    """The nesting of (n, K) permissions; None if they are not nested."""
    kinds = allowed.shape[1]
    columns = np.ascontiguousarray(allowed.T)
    order = np.argsort(columns.sum(axis=1), kind="stable")
    ring = np.full(len(allowed), kinds, dtype=np.int64)
    for place in range(kinds - 1, -1, -1):
        here = columns[order[place]]
        if bool(np.any(here & (ring != place + 1))):
            return None
        ring[here] = place
    return Rings(order, ring)


def solve(pool: Pool, found: Rings, capacity: Floats, *, spread: float, floors: Floats) -> Plan:
    """The plan. `pool.flat_cost()` must not be None; `capacity` may be less than the pool's.

    `floors` is (n,) what each gets in any case, no more than its capacity.
    """
    flat = pool.flat_cost()
    if flat is None:
        raise ValueError("cost depends on backend and class together: this takes the linear program")
    cost, by_class = flat
    kinds = len(pool.demand)
    ring_capacity = _by_ring(found, capacity, kinds)
    admitted, worth = _admit(pool, found, ring_capacity)
    asked = admitted[found.order]
    ring_floor = _by_ring(found, floors, kinds)
    shares = _explored(asked, ring_floor)
    base = floors * np.append(shares, 0.0)[found.ring]
    blocks = _blocks(found, cost, capacity - base, asked - shares * ring_floor, spread)
    load, prices = base.copy(), np.zeros(kinds)
    for block in blocks:
        load[block.rows] += block.basin.filled(block.level, spread)
        finite = block.level[0] if np.isfinite(block.level[0]) else 0.0
        prices[found.order[block.first : block.last + 1]] = finite
    prices[found.order] = np.maximum(prices[found.order], worth)
    placed = _shared_out(found, load, asked)
    return Plan(placed, admitted, np.asarray(prices + by_class), np.zeros(kinds), "nested")


def _by_ring(found: Rings, rates: Floats, kinds: int) -> Floats:
    sums = np.bincount(found.ring, weights=rates, minlength=kinds + 1)[:kinds]
    return sums.astype(np.float64)  # of nothing it makes whole numbers


def _admit(pool: Pool, found: Rings, ring_capacity: Floats) -> tuple[Floats, Floats]:
    """(K,) what fits, dearest to refuse first, and (K,) in the order of rings what room is worth at least.

    What is served of the k tightest classes must fit their rings: such limits are a matroid's, so taking in
    order of price refuses least money. Where no room is left up to a ring, more room there is worth the
    dearest class that was refused since the last such ring.
    """
    room = np.cumsum(ring_capacity)
    demand, price = pool.demand[found.order], pool.shed_price[found.order]
    if np.all(np.cumsum(demand) <= room):
        return pool.demand.copy(), np.zeros(len(demand))
    admitted, start = np.zeros(len(demand)), 0
    for k in sorted(range(len(demand)), key=lambda k: (-price[k], k)):
        admitted[k] = max(0.0, min(float(demand[k]), float(np.min(room[k:]))))
        room[k:] -= admitted[k]
    worth, refused = np.zeros(len(demand)), np.where(admitted < demand, price, 0.0)
    for k in range(len(demand)):
        if room[k] <= ROUNDING * float(demand.sum()):
            worth[start : k + 1] = refused[start : k + 1].max()
            start = k + 1
    back = np.empty_like(admitted)
    back[found.order] = admitted
    return back, worth


def _explored(asked: Floats, ring_floor: Floats) -> Floats:
    """The share of its floors that each ring gets: in all at most half of what may flow there."""
    shares, left = np.zeros(len(asked)), 0.0
    for k in range(len(asked) - 1, -1, -1):
        left += 0.5 * asked[k]
        if ring_floor[k] > 0.0:
            shares[k] = min(1.0, left / ring_floor[k])
            left -= shares[k] * ring_floor[k]
    return shares


@dataclass(frozen=True)
class _Block:
    first: int
    last: int
    rows: Whole
    basin: Basin
    level: Level


def _blocks(found: Rings, cost: Floats, capacity: Floats, rates: Floats, spread: float) -> list[_Block]:
    """Rings pooled until their levels fall from tight to loose."""
    by_cost = np.argsort(cost)  # ties in any order: equals are filled equally
    ring_by_cost = found.ring[by_cost]

    def block(first: int, last: int) -> _Block:
        rows = by_cost[(ring_by_cost >= first) & (ring_by_cost <= last)]
        basin = Basin(cost[rows], capacity[rows], float(rates[first : last + 1].sum()))
        return _Block(first, last, rows, basin, basin.level(spread))

    done: list[_Block] = []
    for k in range(len(rates)):
        newest = block(k, k)
        while done and done[-1].level < newest.level:
            newest = block(done.pop().first, k)
        done.append(newest)
    return done


def _shared_out(found: Rings, load: Floats, asked: Floats) -> Floats:
    """(n, K): every class, tightest first, takes from all that it may use in proportion to what is left
    there. Backends that are alike are treated alike.
    """
    placed = np.zeros((len(asked), len(load)))
    left = load.copy()
    for k, rate in enumerate(asked):
        if rate <= 0.0:
            continue
        rest = left if k == len(asked) - 1 else np.where(found.ring <= k, left, 0.0)
        taken = rest * (rate / float(rest.sum()))
        placed[found.order[k]] = taken
        left = np.maximum(left - taken, 0.0)
    return np.asarray(placed.T)

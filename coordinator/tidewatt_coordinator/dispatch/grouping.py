"""Backends in groups: those that are the same, those that lie close, and groups split where it matters. Pure.

A group's costs and slow shares are its members' means by capacity, and it may serve what all of them may. A
load that is split by capacity among the members costs exactly the group's cost, and is exactly as slow.
"""

from dataclasses import dataclass

import numpy as np

from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool, Whole

#: Of a loss that is bearable in all, what groups may keep that are not split.
LEFT = 0.5
#: Of sums.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Groups:
    """G groups of n backends, or of kinds of backends."""

    of: Whole
    """(n,) the group of each backend."""
    capacity: Floats
    floor: Floats
    """(G,) what it gets in any case."""
    costs: Floats
    """(G, K)"""
    slow: Floats
    """(G, K)"""
    allowed: Flags


def kinds_of(pool: Pool, allowed: Flags, capacity: Floats, floors: Floats, *, mixture: bool) -> Groups:
    """Groups of those that are the same; slow shares count with `mixture` only."""
    costs, slow = pool.costs(), pool.slow if mixture else np.zeros(pool.slow.shape)
    first, of = _unique(np.hstack((np.where(allowed, costs, -1.0), np.where(allowed, slow, 2.0))))
    sums = _sums(of, capacity, len(first))
    able = allowed[first] & (sums > 0.0)[:, None]
    return Groups(of, sums, _sums(of, floors, len(first)), costs[first], slow[first], able)


def merged(kinds: Groups, part: Whole) -> Groups:
    """The groups of kinds that `part` (a number for each kind) puts together."""
    size = int(np.max(part, initial=-1)) + 1
    capacity = _sums(part, kinds.capacity, size)
    share = kinds.capacity / np.where(capacity > 0.0, capacity, 1.0)[part]
    able = ~_barred(kinds, part, size) & (capacity > 0.0)[:, None]
    return Groups(
        part[kinds.of],
        capacity,
        _sums(part, kinds.floor, size),
        _columns(part, share[:, None] * kinds.costs, size),
        _columns(part, share[:, None] * kinds.slow, size),
        able,
    )


def represented(kinds: Groups, part: Whole) -> Groups:
    """The same groups, each as the middle one of its kinds is: good for prices, and no plan."""
    size = int(np.max(part, initial=-1)) + 1
    by_part = np.argsort(part, kind="stable")
    first = np.searchsorted(part[by_part], np.arange(size + 1))
    one = by_part[(first[:-1] + first[1:]) // 2]
    return Groups(
        part[kinds.of],
        _sums(part, kinds.capacity, size),
        _sums(part, kinds.floor, size),
        kinds.costs[one],
        kinds.slow[one],
        kinds.allowed[one],
    )


def cells(kinds: Groups, most: int) -> Whole:
    """A number for each kind: up to so many cells, each halved again and again where it is widest."""
    facts = np.hstack((_scaled(kinds.costs), _scaled(kinds.slow), kinds.allowed.astype(np.float64)))
    found: list[Whole] = [np.arange(len(facts))]
    while 2 * len(found) <= most:
        found = [half for cell in found for half in _halves(cell, facts)]
    part = np.empty(len(facts), dtype=np.int64)
    for number, cell in enumerate(found):
        part[cell] = number
    return _numbered(part)


def by_work(kinds: Groups, worth: Floats) -> Whole:
    """A number for each kind: together are those that would serve the same class at these prices, and the
    same if not that. `worth` is (kinds, K): the price of a class, less what the kind's slowness costs it.
    """
    profit = np.where(kinds.allowed, worth - kinds.costs, -np.inf)
    first = _best(profit)
    served = profit.copy()
    np.put_along_axis(served, np.maximum(first - 1, 0)[:, None], -np.inf, axis=1)
    # One that would serve nothing is with those that would serve the same if it paid.
    second = np.where(first > 0, _best(served), profit.argmax(axis=1))
    return _numbered(first * (worth.shape[1] + 1) + second)


def torn(kinds: Groups, part: Whole, worth: Floats, bearable: float) -> Whole | None:
    """Groups split by what their members would do at these prices, those first that lose most by being
    together: what members would earn apart beyond what they earn together. None where that is no more than
    `bearable` in all. Other arguments as above.
    """
    size = int(np.max(part)) + 1
    profit = np.where(kinds.allowed, worth - kinds.costs, 0.0)
    together = np.where(
        _barred(kinds, part, size), 0.0, _columns(part, kinds.capacity[:, None] * profit, size)
    )
    apart = kinds.capacity * profit.max(axis=1, initial=0.0)
    lost = _sums(part, apart, size) - together.max(axis=1, initial=0.0)
    total = float(lost.sum())
    if total <= bearable:
        return None
    by_loss = np.argsort(-lost, kind="stable")
    enough = int((np.cumsum(lost[by_loss]) < total - LEFT * bearable).sum()) + 1
    split = np.zeros(size, dtype=np.bool_)
    split[by_loss[:enough]] = True
    does = _best(np.where(kinds.allowed, profit, -np.inf))
    return _numbered(part * (worth.shape[1] + 1) + np.where(split[part], does, 0))


def _best(profit: Floats) -> Whole:
    """(kinds,) the class that earns most, counted from 1; 0 where none earns anything."""
    return np.where(profit.max(axis=1, initial=0.0) > 0.0, profit.argmax(axis=1) + 1, 0)


def _halves(cell: Whole, facts: Floats) -> list[Whole]:
    if len(cell) < 2:  # noqa: PLR2004 - one has no halves
        return [cell]
    here = facts[cell]
    column = here[:, int(np.argmax(np.ptp(here, axis=0)))]
    order = cell[np.argsort(column, kind="stable")]
    middle = len(order) // 2
    return [order[:middle], order[middle:]]


def _scaled(facts: Floats) -> Floats:
    wide = float(np.ptp(facts)) if facts.size else 0.0
    return np.asarray(facts / wide if wide > 0.0 else facts)


def _sums(of: Whole, values: Floats, size: int) -> Floats:
    return np.bincount(of, weights=values, minlength=size).astype(np.float64)


def _barred(kinds: Groups, part: Whole, size: int) -> Flags:
    """(G, K) what not all may serve; one without capacity gets nothing, and bars nothing."""
    return np.asarray(_columns(part, np.where(kinds.allowed, 0.0, kinds.capacity[:, None]), size) > 0.0)


def _columns(of: Whole, values: Floats, size: int) -> Floats:
    return np.column_stack([_sums(of, column, size) for column in values.T])


def _numbered(keys: Whole) -> Whole:
    return np.unique(keys, return_inverse=True)[1].reshape(-1)


def _unique(rows: Floats) -> tuple[Whole, Whole]:
    """(G,) the first row of each group, (n,) the group of each row; groups are in order of what they are."""
    _, first, of = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, of.reshape(-1)

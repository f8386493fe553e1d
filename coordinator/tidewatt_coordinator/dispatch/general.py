"""The general way: a linear program over groups of backends that are alike, solved by HiGHS. Pure.

Alike: the same costs, slow shares and permissions. Where that leaves more than `MOST` groups, costs to within
`COARSE` of the largest count as the same, and slow shares are rounded up to `FINE`, to the safe side for the
promise; then to multiples of both. What that costs shows in the gap: the certificate is computed without it.
A group stands in the program as one backend; what it gets is split by capacity. So backends that are the same
are treated the same, and the program sees no names.

The convex term is laid in as `STEPS` pieces of a group's capacity, each a little dearer.
"""

from dataclasses import dataclass

import highspy
import numpy as np

from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool, Whole

COARSE = 1e-3
FINE = 1e-4
COARSER = (1.0, 4.0, 16.0, 64.0)
MOST = 500
#: Refusing may be this many times as dear as serving in the program: with more it loses the cents.
DEAREST = 1e3
STEPS = 4


class Unsolved(Exception):
    """HiGHS gave no optimum: the last table stays until it expires."""


@dataclass(frozen=True)
class Groups:
    """G groups of n backends."""

    of: Whole
    """(n,) the group of each."""
    capacity: Floats
    costs: Floats
    """(G, K) mean by capacity."""
    slow: Floats
    """(G, K) the worst in it."""
    allowed: Flags


def solve(
    pool: Pool, allowed: Flags, capacity: Floats, *, spread: float, floors: Floats, mixture: bool
) -> Plan:
    """The plan; `allowed` is (n, K), and with `mixture` the promise of each class binds its whole mixture.
    Raises Unsolved.
    """
    groups = _grouped(pool, allowed, capacity)
    program = _Program(pool, groups, spread, _sums(groups.of, floors, len(groups.capacity)), mixture=mixture)
    solution = program.solved()
    placed, admitted = program.read(np.asarray(solution.col_value))
    total = np.maximum(groups.capacity, 1e-300)[groups.of]
    spread_out = placed[groups.of] * (capacity / total)[:, None]
    dual = np.asarray(solution.row_dual) * program.money
    if np.any(admitted < pool.demand):  # refusing is what counts then, and counts in full
        dual = dual / program.milder
    kinds = len(pool.demand)
    promise = -dual[kinds : 2 * kinds] if mixture else np.zeros(kinds)
    return Plan(spread_out, admitted, dual[:kinds], np.maximum(promise, 0.0), "highs")


def _grouped(pool: Pool, allowed: Flags, capacity: Floats) -> Groups:
    costs = pool.costs()
    slow = pool.slow
    first, of = _unique(costs, slow, allowed)
    for step in COARSER:
        if len(first) <= MOST:
            break
        fine = FINE * step
        slow = np.minimum(np.ceil(np.round(pool.slow / fine, 6)) * fine, 1.0)
        near = np.round(costs / (COARSE * step * (float(np.abs(costs).max()) or 1.0)))
        first, of = _unique(near, slow, allowed)
    size = len(first)
    sums = _sums(of, capacity, size)
    mean = (
        np.column_stack([_sums(of, capacity * costs[:, k], size) for k in range(costs.shape[1])])
        / np.where(sums > 0.0, sums, 1.0)[:, None]
    )
    return Groups(of, sums, mean, slow[first], allowed[first] & (sums > 0.0)[:, None])


def _sums(of: Whole, values: Floats, size: int) -> Floats:
    return np.bincount(of, weights=values, minlength=size).astype(np.float64)


def _unique(costs: Floats, slow: Floats, allowed: Flags) -> tuple[Whole, Whole]:
    """(G,) the first row of each group, (n,) the group of each row."""
    key = np.hstack((np.where(allowed, costs, -1.0), np.where(allowed, slow, 2.0)))
    _, first, of = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return first, of.reshape(-1)


class _Program:
    """Columns: what a group serves of a class, the pieces of its load, what is shed. Rows: each class's
    demand, its promise (with mixture), each group's load as the sum of its pieces.
    """

    def __init__(self, pool: Pool, groups: Groups, spread: float, floors: Floats, *, mixture: bool) -> None:
        self.pool, self.groups, self.mixture = pool, groups, mixture
        self.group, self.kind = np.nonzero(groups.allowed)
        self.kinds, self.size = len(pool.demand), len(groups.capacity)
        # In thousandths of the largest cost and in the mean demand, so that tolerances mean something.
        self.money = float(np.abs(groups.costs).max()) / 1e3 if groups.costs.size else 1.0
        self.money = self.money or 1.0
        dearest = DEAREST * 1e3 * self.money
        least = float(np.min(pool.shed_price)) if self.kinds else 0.0
        self.milder = min(1.0, dearest / least) if least > 0.0 else 1.0
        self.rate = float(np.max(pool.demand)) / 1e3 if self.kinds else 1.0
        self.rate = self.rate or 1.0
        prices = spread * (np.arange(STEPS) + 0.5) / STEPS
        # The floors are worth any detour, so that they are met where that can be.
        worth = -2.0 * float(np.ptp(groups.costs)) if groups.costs.size else 0.0
        sizes = np.repeat(((groups.capacity - floors) / STEPS)[:, None], STEPS, axis=1)
        self.piece_size = np.column_stack((floors, sizes)).ravel()
        self.piece_price = np.tile(np.append(worth, prices), self.size)
        self.pieces = STEPS + 1

    def solved(self) -> highspy.HighsSolution:
        """The optimum, with its duals."""
        highs = highspy.Highs()  # type: ignore[no-untyped-call]
        highs.setOptionValue("output_flag", False)
        highs.setOptionValue("threads", 1)
        highs.setOptionValue("dual_feasibility_tolerance", 1e-9)
        highs.setOptionValue("primal_feasibility_tolerance", 1e-9)
        highs.passModel(self._model())
        highs.run()
        status = highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise Unsolved(f"HiGHS ended with {highs.modelStatusToString(status)}")
        return highs.getSolution()

    def read(self, values: Floats) -> tuple[Floats, Floats]:
        """(G, K) requests/s placed, (K,) admitted: exactly what is placed."""
        placed = np.zeros((self.size, self.kinds))
        placed[self.group, self.kind] = np.maximum(values[: len(self.group)], 0.0) * self.rate
        shed = np.maximum(values[len(values) - self.kinds :], 0.0) * self.rate
        admitted = np.maximum(self.pool.demand - shed, 0.0)
        admitted[shed < 1e-9 * self.pool.demand] = self.pool.demand[shed < 1e-9 * self.pool.demand]
        sums = placed.sum(axis=0)
        admitted[sums <= 0.0] = 0.0
        return placed * (admitted / np.where(sums > 0.0, sums, 1.0))[None, :], admitted

    def _model(self) -> highspy.HighsLp:
        pool, groups, kinds = self.pool, self.groups, self.kinds
        used, pieces = len(self.group), len(self.piece_size)
        model = highspy.HighsLp()
        model.num_col_ = used + pieces + kinds
        promises = kinds if self.mixture else 0
        model.num_row_ = kinds + promises + self.size
        costs = groups.costs[self.group, self.kind]
        refused = pool.shed_price * self.milder
        model.col_cost_ = np.concatenate((costs, self.piece_price, refused)) / self.money
        model.col_lower_ = np.zeros(model.num_col_)
        infinite = np.full(used, highspy.kHighsInf)
        model.col_upper_ = np.concatenate((infinite, self.piece_size / self.rate, pool.demand / self.rate))
        demand = pool.demand / self.rate
        model.row_lower_ = np.concatenate(
            (demand, np.full(promises, -highspy.kHighsInf), np.zeros(self.size))
        )
        model.row_upper_ = np.concatenate((demand, np.zeros(promises), np.zeros(self.size)))
        self._matrix(model, promises)
        return model

    def _matrix(self, model: highspy.HighsLp, promises: int) -> None:
        """Column by column: a use has two or three entries, a piece and a refusal one each."""
        used, pieces = len(self.group), len(self.piece_size)
        loads = self.kinds + promises
        rows = [self.kind, loads + self.group]
        values = [np.ones(used), np.ones(used)]
        if promises:
            rows.insert(1, self.kinds + self.kind)
            values.insert(1, (self.groups.slow - self.pool.bearable[None, :])[self.group, self.kind])
        index = np.concatenate(
            (
                np.column_stack(rows).ravel(),
                loads + np.repeat(np.arange(self.size), self.pieces),
                np.arange(self.kinds),
            )
        )
        value = np.concatenate((np.column_stack(values).ravel(), np.full(pieces, -1.0), np.ones(self.kinds)))
        steps = np.concatenate((np.full(used, len(rows)), np.ones(pieces + self.kinds, dtype=np.int64)))
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_ = np.concatenate(([0], np.cumsum(steps))).astype(np.int32)
        model.a_matrix_.index_ = index.astype(np.int32)
        model.a_matrix_.value_ = value

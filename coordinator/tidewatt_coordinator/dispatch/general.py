"""The general way: a linear program over groups of backends, solved by HiGHS. Pure.

Backends with the same costs, slow shares and permissions are one kind, and stand in the program as one. So
backends that are the same are treated the same, and the program sees no names. Where there are more than
`MOST` kinds, kinds that lie close are put in groups (dispatch/grouping.py): a group costs and is slow as its
mean, and what it gets is split by capacity, so a plan of groups is a plan of backends at exactly the same
cost. What grouping loses is known from the prices: what the members could earn each on their own beyond what
they earn together. Groups that lose are split by what their members would do, and the program is solved
again, until nearly nothing is lost. The certificate is computed without groups in any case.

The convex term is laid in as `STEPS` pieces of a group's capacity, each a little dearer.
"""

from dataclasses import dataclass

import highspy
import numpy as np

from tidewatt_coordinator.dispatch.grouping import Groups, by_work, cells, kinds_of, merged, represented, torn
from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool

#: More kinds than these are put in groups.
MOST = 300
#: Of so many the first prices are asked.
SEEN = 256
#: What groups may lose, of the cost.
NEARLY = 5e-4
#: Refusing may be this many times as dear as serving in the program: with more it loses the cents.
DEAREST = 1e3
#: While groups are coarse it is milder yet, lest prices jump.
MILD = 10.0
#: How dear, and how many programs at the most; the second only where requests are refused.
STAGES = ((MILD, 9), (DEAREST, 5))
STEPS = 4
#: Of a demand: less is rounding.
CRUMB = 1e-9
#: Presolving takes longer than it saves here.
OPTIONS: dict[str, int | float | str] = {
    "threads": 1,
    "presolve": "off",
    "dual_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
}
#: Where that leaves HiGHS unsure, a hair beyond its tolerances: another way, then wider ones.
OTHERWISE: tuple[dict[str, int | float | str], ...] = (
    {"presolve": "on"},
    {"dual_feasibility_tolerance": 1e-7, "primal_feasibility_tolerance": 1e-7},
)


class Unsolved(Exception):
    """HiGHS gave no optimum: the last table stays until it expires."""


@dataclass(frozen=True)
class _Solved:
    """An optimum over groups; rates and money as they are outside."""

    placed: Floats
    """(G, K)"""
    admitted: Floats
    price: Floats
    promise_price: Floats
    cost: float
    """Refusing is milder there, unless it is all that is looked at."""


def solve(
    pool: Pool, allowed: Flags, capacity: Floats, *, spread: float, floors: Floats, mixture: bool
) -> Plan:
    """The plan; `allowed` is (n, K), and with `mixture` the promise of each class binds its whole mixture.
    Raises Unsolved.
    """
    kinds = kinds_of(pool, allowed, capacity, floors, mixture=mixture)
    if len(kinds.capacity) <= MOST:
        groups, found = kinds, _Program(pool, kinds, spread, DEAREST, mixture=mixture).optimum()
    else:
        groups, found = _by_groups(pool, kinds, spread, mixture=mixture)
    share = capacity / np.maximum(groups.capacity, 1e-300)[groups.of]
    placed = found.placed[groups.of] * share[:, None]
    return Plan(placed, found.admitted, found.price, found.promise_price, "highs")


def _by_groups(pool: Pool, kinds: Groups, spread: float, *, mixture: bool) -> tuple[Groups, _Solved]:
    """Prices by a sample, groups by what is done at these prices, and finer ones where that counts."""
    groups = represented(kinds, cells(kinds, SEEN))
    found = _Program(pool, groups, spread, MILD, mixture=mixture).optimum()
    part = by_work(kinds, _worth(pool, kinds, found))
    for dearest, rounds in STAGES:
        for _ in range(rounds):
            groups = merged(kinds, part)
            found = _Program(pool, groups, spread, dearest, mixture=mixture).optimum()
            finer = torn(kinds, part, _worth(pool, kinds, found), NEARLY * abs(found.cost))
            if finer is None:
                break
            part = finer
        if not np.any(found.admitted < pool.demand):
            break
    return groups, found


def _worth(pool: Pool, kinds: Groups, found: _Solved) -> Floats:
    """(kinds, K) the price of a class, less what the kind's slowness costs its promise."""
    return found.price[None, :] - found.promise_price[None, :] * (kinds.slow - pool.bearable[None, :])


class _Program:
    """Columns: what a group serves of a class, the pieces of its load, what is shed. Rows: each class's
    demand, its promise (with mixture), each group's load as the sum of its pieces.
    """

    def __init__(self, pool: Pool, groups: Groups, spread: float, dearest: float, *, mixture: bool) -> None:
        self.pool, self.groups, self.mixture = pool, groups, mixture
        self.group, self.kind = np.nonzero(groups.allowed)
        self.kinds, self.size = len(pool.demand), len(groups.capacity)
        # In thousandths of the largest cost and in the mean demand, so that tolerances mean something.
        self.money = float(np.abs(groups.costs).max()) / 1e3 if groups.costs.size else 1.0
        self.money = self.money or 1.0
        dearest = dearest * 1e3 * self.money
        least = float(np.min(pool.shed_price)) if self.kinds else 0.0
        self.milder = min(1.0, dearest / least) if least > 0.0 else 1.0
        self.rate = float(np.max(pool.demand)) / 1e3 if self.kinds else 1.0
        self.rate = self.rate or 1.0
        prices = spread * (np.arange(STEPS) + 0.5) / STEPS
        # The floors are worth any detour, so that they are met where that can be.
        worth = -2.0 * float(np.ptp(groups.costs)) if groups.costs.size else 0.0
        sizes = np.repeat(((groups.capacity - groups.floor) / STEPS)[:, None], STEPS, axis=1)
        self.piece_size = np.column_stack((groups.floor, sizes)).ravel()
        self.piece_price = np.tile(np.append(worth, prices), self.size)
        self.pieces = STEPS + 1

    def optimum(self) -> _Solved:
        """Raises Unsolved."""
        highs = highspy.Highs()  # type: ignore[no-untyped-call]
        highs.setOptionValue("output_flag", False)
        highs.passModel(self._model())
        solution = _run(highs)
        placed, admitted = self._read(np.asarray(solution.col_value))
        dual = np.asarray(solution.row_dual) * self.money
        cost = highs.getObjectiveValue() * self.money * self.rate
        if self.milder < 1.0 and np.any(admitted < self.pool.demand):
            # What refusing costs beyond that has prices of its own, and prices of two costs add up.
            self._only_refusing(highs)
            dearer = 1.0 / self.milder - 1.0
            dual = dual + np.asarray(_run(highs).row_dual) * self.money * dearer
            cost += highs.getObjectiveValue() * self.money * self.rate * dearer
        promise = -dual[self.kinds : 2 * self.kinds] if self.mixture else np.zeros(self.kinds)
        return _Solved(placed, admitted, dual[: self.kinds], np.maximum(promise, 0.0), cost)

    def _only_refusing(self, highs: highspy.Highs) -> None:
        """Have nothing else cost anything."""
        free = len(self.group) + len(self.piece_size)
        highs.changeColsCost(free, np.arange(free, dtype=np.int32), np.zeros(free))

    def _read(self, values: Floats) -> tuple[Floats, Floats]:
        """(G, K) requests/s placed, (K,) admitted: exactly what is placed."""
        placed = np.zeros((self.size, self.kinds))
        placed[self.group, self.kind] = np.maximum(values[: len(self.group)], 0.0) * self.rate
        shed = np.maximum(values[len(values) - self.kinds :], 0.0) * self.rate
        admitted = np.maximum(self.pool.demand - shed, 0.0)
        whole = shed < CRUMB * self.pool.demand
        admitted[whole] = self.pool.demand[whole]
        sums = placed.sum(axis=0)
        # Crumbs of a class that is refused whole are no service, and need keep no promise.
        admitted[(sums <= 0.0) | (admitted < CRUMB * self.pool.demand)] = 0.0
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
        values: list[Floats] = [np.ones(used), np.ones(used)]
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


def _run(highs: highspy.Highs) -> highspy.HighsSolution:
    """Raises Unsolved when nothing helps."""
    for options in (OPTIONS, *OTHERWISE):
        for option, value in options.items():
            highs.setOptionValue(option, value)
        highs.run()
        status = highs.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            return highs.getSolution()
        highs.clearSolver()
    raise Unsolved(f"HiGHS ended with {highs.modelStatusToString(status)}")

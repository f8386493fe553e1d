"""Which way a pool is solved: exactly where that is possible, else by the linear program. Pure."""

import numpy as np

from tidewatt_coordinator.dispatch import general, nested
from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool, Whole
from tidewatt_coordinator.dispatch.reserve import planned
from tidewatt_coordinator.dispatch.terms import Terms


def permitted(pool: Pool, *, mixture: bool) -> Flags:
    """(n, K) what may be used: where mixtures keep the promise, also what alone does not."""
    return pool.served if mixture else pool.keeps


def optimum(pool: Pool, domain: Whole, terms: Terms) -> Plan:
    """The plan, with room for the loss of a domain if the terms want it and it can be had. Raises
    general.Unsolved.
    """
    allowed = permitted(pool, mixture=terms.mixture)
    spread = terms.spread * _usual_cost(pool)
    alone = not terms.mixture or bool(np.array_equal(pool.served, pool.keeps))
    found = nested.rings(allowed) if alone and pool.flat_cost() and _refuses_last(pool) else None

    even = float(pool.demand.sum()) / max(len(pool.cost), 1)

    def solve(capacity: Floats) -> Plan:
        floors = terms.explore * np.minimum(capacity, even)
        if found is not None:
            return nested.solve(pool, found, capacity, spread=spread, floors=floors)
        return general.solve(pool, allowed, capacity, spread=spread, floors=floors, mixture=not alone)

    return planned(solve, pool.capacity, domain) if terms.absorb_loss else solve(pool.capacity)


def _usual_cost(pool: Pool) -> float:
    """Of a request, if all went to the cheapest: the measure for what counts as nearly the same."""
    by_cost = np.argsort(pool.cost)
    upto = np.minimum(np.cumsum(pool.capacity[by_cost]), float(pool.demand.sum()))
    taken = np.diff(upto, prepend=0.0)
    total = float(taken.sum())
    return float(np.abs(pool.cost[by_cost]) @ taken) / total if total > 0.0 else 0.0


def _refuses_last(pool: Pool) -> bool:
    """Whether every request is dearer to refuse than to serve anywhere: only then is filling first, and
    refusing what is left, the cheapest.
    """
    costs = pool.costs()[pool.served]
    return not costs.size or float(np.min(pool.shed_price)) > float(np.max(costs))

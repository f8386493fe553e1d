"""How good a table is, provably (guarantee G3). Pure.

Weak duality: for any price of each class (and of its promise), nothing that keeps the limits costs less than
    sum price demand - the most that all requests could earn above their prices within the capacities,
so the bound holds however the prices were found, and anybody can recompute it from them.
"""

from collections.abc import Sequence

import numpy as np

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool
from tidewatt_coordinator.dispatch.table import Certificate, SitePrice

DAY_S = 86_400.0
CENT = 0.01


def certify(
    backends: Sequence[Backend],
    classes: Sequence[RequestClass],
    pool: Pool,
    allowed: Flags,
    plan: Plan,
    shares: Floats,
) -> Certificate:
    """The certificate of (n, K) shares; `allowed` is what the program was over."""
    prices = np.minimum(plan.price, pool.shed_price)
    earned = _earned(pool, allowed, prices, plan.promise_price)
    refused = pool.demand - plan.admitted
    cost = float((shares * plan.admitted[None, :] * pool.costs()).sum() + refused @ pool.shed_price)
    bound = float(prices @ pool.demand) - _at_most(earned, pool)
    names = [asked.name for asked in classes]
    sites = _sites(backends, pool, earned)
    return Certificate(
        cost,
        bound,
        (cost - bound) / bound if bound > 0.0 else 0.0 if cost <= bound else float("inf"),
        dict(zip(names, prices.tolist(), strict=True)),
        dict(zip(names, plan.promise_price.tolist(), strict=True)),
        sites,
        _binding(classes, plan, refused, sites, bool(np.any(earned > 0.0))),
    )


def _earned(pool: Pool, allowed: Flags, prices: Floats, promise: Floats) -> Floats:
    """(n,) what a request/s more of capacity would earn."""
    if not prices.size:
        return np.zeros(len(pool.cost))
    profit = prices[None, :] - pool.costs() - promise[None, :] * (pool.slow - pool.bearable[None, :])
    return np.asarray(np.where(allowed, profit, 0.0).max(axis=1, initial=0.0))


def _at_most(earned: Floats, pool: Pool) -> float:
    """What all requests could earn: the best places first, no more requests than there are."""
    best = np.argsort(-earned)
    upto = np.minimum(np.cumsum(pool.capacity[best]), float(pool.demand.sum()))
    return float(earned[best] @ np.diff(upto, prepend=0.0))


def _sites(backends: Sequence[Backend], pool: Pool, earned: Floats) -> list[SitePrice]:
    """By domain of the edge: the mean over its backends."""
    sums: dict[str, tuple[float, int]] = {}
    for backend, rate in zip(backends, (earned * pool.capacity * DAY_S).tolist(), strict=True):
        if backend.kind == "edge" and not backend.draining:
            total, count = sums.get(backend.domain, (0.0, 0))
            sums[backend.domain] = (total + rate, count + 1)
    means = {domain: total / count for domain, (total, count) in sums.items()}
    ranked = sorted(means.items(), key=lambda item: (-item[1], item[0]))
    return [
        SitePrice(domain, saves, f"one more Jetson at {domain or 'the edge'} saves {_a_day(saves)}")
        for domain, saves in ranked
        if saves > 0.0
    ]


def _a_day(saves: float) -> str:
    return f"up to {saves:.2f} a day" if saves >= CENT else "less than a cent a day"


def _binding(
    classes: Sequence[RequestClass], plan: Plan, refused: Floats, sites: list[SitePrice], full: bool
) -> str:
    short = [k for k, rate in enumerate(refused) if rate > 0.0]
    if short:
        worst = max(short, key=lambda k: (float(refused[k]), classes[k].name))
        return (
            f"capacity is short: {float(refused.sum()):.1f} rps are refused, {refused[worst]:.1f} of them of "
            f"class {classes[worst].name} at {classes[worst].shed_price:g} each"
        )
    held = [k for k, price in enumerate(plan.promise_price) if price > 0.0]
    if held:
        dearest = max(held, key=lambda k: (float(plan.promise_price[k] * plan.admitted[k]), classes[k].name))
        asked = classes[dearest]
        return (
            f"the promise of class {asked.name} binds: {asked.percentile:.1%} within {asked.limit_s or 0:g} "
            "s keep it from cheaper backends"
        )
    if sites:
        return f"the capacity of {sites[0].domain or 'the edge'} binds: {sites[0].sentence}"
    return (
        "cheap capacity binds: dearer backends serve the rest"
        if full
        else "nothing binds: the cheapest serve all"
    )

"""How long the solvers take, and how close to the least cost they end."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.dispatch.pools import different_pool, kinds_pool, random_pool
from benchmarks.results import Result
from tidewatt_coordinator.dispatch import general, nested
from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.certificate import certify
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool

REPEATS = 25


def speeds() -> Iterator[Result]:
    """Solve times, and the exact way beside HiGHS."""
    for size, target in ((5, None), (100, None), (10_000, 5.0), (100_000, 50.0)):
        pool = random_pool(size, 10)
        floors = 0.002 * pool.capacity

        def exact(pool: Pool = pool, floors: Floats = floors) -> Plan:
            found = nested.rings(pool.keeps)
            if found is None:
                raise ValueError("the classes are not nested")
            return nested.solve(pool, found, pool.capacity, spread=1e-9, floors=floors)

        yield Result.judged(
            f"nested, {size} x 10", best_ms(exact), "ms", target=target, against="exact, convex term, floors"
        )
    yield Result.judged(
        "nested against HiGHS, 1,000 x 10", _difference(), "relative", target=1e-9, against="cost"
    )
    for kinds in (20, 300):
        for mixture in (False, True):
            pool = kinds_pool(10_000, 10, kinds)
            allowed = pool.served if mixture else pool.keeps
            none = np.zeros(len(pool.cost))

            def program(
                pool: Pool = pool,
                allowed: Flags = allowed,
                none: Floats = none,
                mixture: bool = mixture,
            ) -> object:
                return general.solve(pool, allowed, pool.capacity, spread=1e-9, floors=none, mixture=mixture)

            name = f"HiGHS, 10,000 x 10 of {kinds} kinds{', mixtures' if mixture else ''}"
            yield Result.judged(name, best_ms(program), "ms", target=200.0, against="by groups")


def unlike() -> Iterator[Result]:
    """10,000 backends of which no two are alike, nested or not."""
    pools = {"": kinds_pool(10_000, 10, 10_000), ", regions that cross": different_pool(10_000, 10)}
    for what, pool in pools.items():
        for mixture in (False, True):
            allowed, none = pool.served if mixture else pool.keeps, np.zeros(len(pool.cost))

            def program(
                pool: Pool = pool, allowed: Flags = allowed, none: Floats = none, mixture: bool = mixture
            ) -> Plan:
                return general.solve(pool, allowed, pool.capacity, spread=1e-9, floors=none, mixture=mixture)

            name = f"HiGHS, 10,000 x 10 all different{what}{', mixtures' if mixture else ''}"
            yield Result.judged(name, best_ms(program), "ms", target=200.0, against="by groups")
            yield Result.judged(
                f"{name}: gap", gap(pool, allowed, program()), "ratio", target=1e-3, against="certificate"
            )


def gap(pool: Pool, allowed: Flags, plan: Plan) -> float:
    """How far the plan's cost is above the bound that its own prices prove, for the whole pool."""
    backends = [Backend(str(row), 1.0, 0.0) for row in range(len(pool.cost))]
    classes = [RequestClass(str(k), 1.0) for k in range(len(pool.demand))]
    shares = plan.placed / np.where(plan.admitted > 0.0, plan.admitted, 1.0)[None, :]
    return certify(backends, classes, pool, allowed, plan, shares).gap


def best_ms(work: Callable[[], object]) -> float:
    """The quickest of some runs: the machine has other things to do."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def _difference() -> float:
    pool = random_pool(1_000, 10)
    found, none = nested.rings(pool.keeps), np.zeros(1_000)
    if found is None:
        raise ValueError("the classes are not nested")
    exact = nested.solve(pool, found, pool.capacity, spread=0.0, floors=none)
    most, general.MOST = general.MOST, 1_000
    program = general.solve(pool, pool.keeps, pool.capacity, spread=0.0, floors=none, mixture=False)
    general.MOST = most
    here, there = (float((plan.placed * pool.costs()).sum()) for plan in (exact, program))
    return abs(here / there - 1.0)

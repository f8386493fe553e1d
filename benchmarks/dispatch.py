"""Dispatch: how fast weights are found, and what they cost beside other ways, closed loop on old telemetry.

    make bench-dispatch [TRACES=DIR]

Each trace's last hours are lived in steps of ten seconds (minutes, interpolated). What every way knows is
what was true a step before; what it decides holds for the next step. The pool is seeded: sites of Jetsons
whose capacity drifts, spot nodes, Lambda, on-demand nodes. The bound is the linear program that knows the
present, with the same fill.

The product's way is `held`: weights for the demand as measured, and proxies that hold each backend to what
the table says it can take, giving the rest to the others (dispatch/overflow.py). It alone is judged. The
bound keeps the fill (85 %): where a way passes it, it may even be cheaper than the bound, which is no merit,
so the steps beyond the fill stand beside each cost, and `kept` is the same with proxies that hold backends to
the fill, which compares like with like. For proxies that can't hold: `lean` has the same weights, `strict`
plans for the steepest rise that history has seen, so that weights alone are enough.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.results import Result, publish
from tidewatt_coordinator.dispatch import general, nested
from tidewatt_coordinator.dispatch.backends import Backend, Histogram
from tidewatt_coordinator.dispatch.certificate import certify
from tidewatt_coordinator.dispatch.checker import faults
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.overflow import spilled
from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool, survey
from tidewatt_coordinator.dispatch.table import Table
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.dispatch.weighing import next_table
from tidewatt_coordinator.train.traces import read_folder
from tidewatt_coordinator.train.windows import Series

BUNDLED = Path(__file__).parents[1] / "governor/tidewatt_governor/data/traces"
NAME = "dispatch-traces" if os.environ.get("TRACES") else "dispatch"
STEP_S = 10.0
MINUTES = 360
PEAK_RPS = 900.0
BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.5)
NEAR = Histogram(BOUNDS, (98_000, 2_000, 0, 0, 0, 0))
SPOT = Histogram(BOUNDS, (0, 20_000, 78_000, 2_000, 0, 0))
LAMBDA = Histogram(BOUNDS, (0, 0, 20_000, 79_000, 1_000, 0))
#: Share of the traffic and limit.
CLASSES = {"tight": (0.3, 0.025), "middle": (0.4, 0.05), "loose": (0.3, 0.1)}
FILL = 0.85
STRICT = Terms(fill=FILL, absorb_loss=False, interval_s=STEP_S, motion=2.0, hysteresis=0.0)
LEAN = msgspec.structs.replace(STRICT, held=True)
#: The bound is asked of the truth: no age, no rounding to speak of, nothing explored.
TRUTH = Terms(fill=FILL, capacity_loss_per_s=0.0, demand_growth_per_s=0.0, interval_s=1e6, parts=2**32 - 1)
REPEATS = 25


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


def seeded(seed: int) -> list[Backend]:
    """Three sites, spot, Lambda, on-demand. Costs in dollars per request."""
    chance = np.random.default_rng(seed)
    edge = [
        Backend(
            f"{site}-{number}",
            float(chance.uniform(40.0, 120.0)),
            float(price * chance.uniform(0.9, 1.1)),
            latency=NEAR,
            domain=site,
        )
        for site, price in (("berlin", 4e-7), ("austin", 2e-7), ("osaka", 3e-7))
        for number in range(2)
    ]
    spot = [
        Backend(f"spot-{n}", 120.0, 1.5e-6, kind="spot", latency=SPOT, domain=f"zone-{n}") for n in range(3)
    ]
    demand = [Backend(f"node-{n}", 250.0, 5e-6, kind="on_demand", latency=NEAR) for n in range(4)]
    return [*edge, *spot, Backend("lambda", 3_000.0, 9e-6, kind="lambda", latency=LAMBDA), *demand]


#: `held` and `kept` are `lean` with what proxies do: backends hold to what they can take, or to the fill.
WAYS = ("held", "kept", "lean", "strict", "ladder", "uniform", "bound")
OURS = ("held", "kept", "lean", "strict")
#: What a way decides: by class and backend, the share of the class.
Split = dict[str, dict[str, float]]


def uniform(fleet: list[Backend], rates: dict[str, float]) -> Split:
    """Evenly over all that keep the promise."""
    split: Split = {}
    for name in rates:
        able = [one for one in fleet if _keeps(one, CLASSES[name][1])]
        split[name] = {one.name: 1.0 / len(able) for one in able}
    return split


def ladder(fleet: list[Backend], rates: dict[str, float]) -> Split:
    """The original notes: edge from 25 ms, up to 80 %, then spot, then Lambda from 50 ms, then on-demand."""
    room = {one.name: 0.8 * one.usable_rps for one in fleet}
    split: Split = {name: {} for name in rates}
    total = sum(rates.values())
    for kind in ("edge", "spot", "lambda", "on_demand"):
        tier = [one for one in fleet if one.kind == kind]
        # Requests of all classes come mixed: each gets its part of what a rung has left.
        left = {name: rate * (1.0 - sum(split[name].values())) for name, rate in rates.items()}
        able = {
            name: rate for name, rate in left.items() if any(_keeps(one, CLASSES[name][1]) for one in tier)
        }
        asked, free = sum(able.values()), sum(room[one.name] for one in tier)
        if asked <= 0.0 or free <= 0.0:
            continue
        taken = asked if kind == "on_demand" else min(asked, free)
        for name, rate in able.items():
            for one in tier:
                split[name][one.name] = taken * rate / asked * room[one.name] / free / max(rates[name], 1e-9)
    return split if total > 0.0 else uniform(fleet, rates)


def _some_keep(tier: list[Backend], limit_s: float) -> bool:
    return any(_keeps(one, limit_s) for one in tier)


def _keeps(backend: Backend, limit_s: float) -> bool:
    latency = backend.latency
    if latency is None:
        return False
    quick = sum(n for bound, n in zip(latency.bounds_s, latency.counts, strict=False) if bound <= limit_s)
    return quick >= 0.96 * sum(latency.counts)


def asked(rates: dict[str, float], age_s: float) -> list[RequestClass]:
    """The classes as they were measured."""
    return [RequestClass(name, rate, CLASSES[name][1], age_s=age_s) for name, rate in rates.items()]


class Life:
    """One way's bill and harm over a trace."""

    def __init__(self) -> None:
        self.cost = 0.0
        self.overloads = self.beyond_fill = 0

    def live(
        self,
        split: Split,
        fleet: list[Backend],
        rates: dict[str, float],
        most: dict[str, float] | None = None,
    ) -> None:
        """One step under the truth; `most`: what proxies hold each backend to."""
        shares = np.array([[split.get(name, {}).get(one.name, 0.0) for name in rates] for one in fleet])
        loads = shares * np.array(list(rates.values()))[None, :]
        if most is not None:
            loads = spilled(loads, shares, np.array([most.get(one.name, np.inf) for one in fleet]))
        for one, load in zip(fleet, loads.sum(axis=1).tolist(), strict=True):
            self.cost += load * one.marginal_cost * STEP_S
            self.overloads += load > one.usable_rps * (1.0 + 1e-9)
            self.beyond_fill += load > FILL * one.usable_rps * (1.0 + 1e-9)


def lived(series: Series, seed: int) -> dict[str, Life]:
    """Each way over the trace's last hours."""
    chance = np.random.default_rng(seed)
    rps = series.rps[np.isfinite(series.rps)]
    rps = rps * (PEAK_RPS / max(float(np.quantile(rps, 0.995)), 1e-9))
    minutes = rps[-MINUTES:]
    ticks = np.interp(np.arange(0, len(minutes) - 1, STEP_S / 60.0), np.arange(len(minutes)), minutes)
    before = np.interp(np.arange(0, len(rps) - 1, STEP_S / 60.0), np.arange(len(rps)), rps)[: -len(ticks)]
    growth = _growth(before)
    ways = {"lean": LEAN, "strict": msgspec.structs.replace(STRICT, demand_growth_per_s=growth)}
    lives = {name: Life() for name in WAYS}
    fleet, rates, most = seeded(seed), _rates(float(ticks[0])), dict[str, float]()
    last: dict[str, Table | None] = dict.fromkeys(ways)
    for tick in ticks[1:]:
        known = [msgspec.structs.replace(one, age_s=STEP_S) for one in fleet]
        now = _rates(float(tick))
        splits = {"ladder": ladder(fleet, rates), "uniform": uniform(fleet, rates)}
        for name, terms in ways.items():
            table = last[name] = _steered(known, asked(rates, STEP_S), terms, last[name])
            splits[name] = {
                kind: {to: parts / table.parts for to, parts in weights.items()}
                for kind, weights in table.weights.items()
            }
            if name == "lean":
                most = table.most_rps
        fleet = _drifted(fleet, chance)
        for name, split in splits.items():
            lives[name].live(split, fleet, now)
        lives["held"].live(splits["lean"], fleet, now, most)
        lives["kept"].live(splits["lean"], fleet, now, {one: FILL * rate for one, rate in most.items()})
        lives["bound"].cost += _bound(fleet, now) * STEP_S
        rates = now
    return lives


def _steered(fleet: list[Backend], classes: list[RequestClass], terms: Terms, last: Table | None) -> Table:
    table = next_table(fleet, classes, terms, last)
    wrong = faults(table, fleet, classes, terms, last)
    if wrong:
        raise ValueError(f"the checker refuses a table: {wrong[0]}")
    return table


def _growth(before: Floats) -> float:
    """The steepest rise seen before the hours that are lived, per second of two steps."""
    usual = float(np.mean(before)) if len(before) else 1.0
    if len(before) <= 1:
        return STRICT.demand_growth_per_s
    rise = (before[1:] - before[:-1]) / np.maximum(before[:-1], 0.2 * usual)
    return max(float(np.quantile(rise, 0.999)), 0.0) / STEP_S


def _rates(rps: float) -> dict[str, float]:
    return {name: rps * share for name, (share, _) in CLASSES.items()}


def _drifted(fleet: list[Backend], chance: np.random.Generator) -> list[Backend]:
    """Boards warm up and cool down, at most as fast as the terms allow."""
    most = STRICT.capacity_loss_per_s * STEP_S
    return [
        msgspec.structs.replace(one, usable_rps=one.usable_rps * float(1.0 + chance.uniform(-most, most)))
        if one.kind == "edge"
        else one
        for one in fleet
    ]


def _bound(fleet: list[Backend], rates: dict[str, float]) -> float:
    pool = survey(fleet, asked(rates, 0.0), TRUTH)
    found = nested.rings(pool.keeps)
    if found is None:
        raise ValueError("the classes are not nested")
    plan = nested.solve(pool, found, pool.capacity, spread=0.0, floors=np.zeros(len(fleet)))
    return float((plan.placed * pool.costs()).sum())


def comparisons() -> Iterator[Result]:
    """Money and overloads over all traces and seeds."""
    totals = {name: Life() for name in WAYS}
    dearer = dict.fromkeys(OURS, 0)
    for series in read_folder(Path(os.environ.get("TRACES") or BUNDLED)):
        for seed in (1, 2):
            lives = lived(series, seed)
            for name in dearer:
                dearer[name] += lives[name].cost > lives["ladder"].cost
            for name, life in lives.items():
                totals[name].cost += life.cost
                totals[name].overloads += life.overloads
                totals[name].beyond_fill += life.beyond_fill
            above = {name: lives[name].cost / lives["bound"].cost - 1.0 for name in WAYS[:-1]}
            told = ", ".join(f"{name} {part:.2%}" for name, part in above.items())
            print(f"{series.name} seed {seed}, above the bound: {told}", file=sys.stderr)
    bound = totals["bound"].cost
    for name in WAYS[:-1]:
        life, judged = totals[name], name == "held"
        target = 0.01 if judged else None
        yield Result.judged(
            f"{name}, cost above the bound",
            life.cost / bound - 1.0,
            "ratio",
            target=target,
            against="LP",
        )
        harm = 0.0 if judged else None
        yield Result.judged(f"{name}, beyond capacity", life.overloads, "backend-steps", target=harm)
        yield Result.judged(f"{name}, beyond the fill", life.beyond_fill, "backend-steps")
    for name, runs in dearer.items():
        yield Result.judged(
            f"{name}, dearer than the ladder", float(runs), "runs", target=0.0 if name == "held" else None
        )


if __name__ == "__main__":
    sys.exit(0 if publish(NAME, [*speeds(), *unlike(), *comparisons()]) else 1)

"""The pool that is lived through, and the ways of deciding that ours is compared with."""

import numpy as np

from tidewatt_coordinator.dispatch.backends import Backend, Histogram

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.5)
NEAR = Histogram(BOUNDS, (98_000, 2_000, 0, 0, 0, 0))
SPOT = Histogram(BOUNDS, (0, 20_000, 78_000, 2_000, 0, 0))
LAMBDA = Histogram(BOUNDS, (0, 0, 20_000, 79_000, 1_000, 0))
#: Share of the traffic and limit.
CLASSES = {"tight": (0.3, 0.025), "middle": (0.4, 0.05), "loose": (0.3, 0.1)}
#: What a way decides: by class and backend, the share of the class.
Split = dict[str, dict[str, float]]


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


def _keeps(backend: Backend, limit_s: float) -> bool:
    latency = backend.latency
    if latency is None:
        return False
    quick = sum(n for bound, n in zip(latency.bounds_s, latency.counts, strict=False) if bound <= limit_s)
    return quick >= 0.96 * sum(latency.counts)

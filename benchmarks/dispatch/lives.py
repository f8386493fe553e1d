"""Every way over a trace's last hours, in steps of ten seconds, on telemetry a step old."""

import msgspec
import numpy as np

from benchmarks.dispatch.ways import CLASSES, Split, ladder, seeded, uniform
from tidewatt_coordinator.dispatch import nested
from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.checker import faults
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.overflow import spilled
from tidewatt_coordinator.dispatch.pool import Floats, survey
from tidewatt_coordinator.dispatch.table import Table
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.dispatch.weighing import next_table
from tidewatt_coordinator.train.windows import Series

STEP_S = 10.0
MINUTES = 360
PEAK_RPS = 900.0
FILL = 0.85
STRICT = Terms(fill=FILL, absorb_loss=False, interval_s=STEP_S, motion=2.0, hysteresis=0.0)
LEAN = msgspec.structs.replace(STRICT, held=True)
#: The bound is asked of the truth: no age, no rounding to speak of, nothing explored.
TRUTH = Terms(fill=FILL, capacity_loss_per_s=0.0, demand_growth_per_s=0.0, interval_s=1e6, parts=2**32 - 1)
#: `held` and `kept` are `lean` with what proxies do: backends hold to what they can take, or to the fill.
WAYS = ("held", "kept", "lean", "strict", "ladder", "uniform", "bound")


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


def asked(rates: dict[str, float], age_s: float) -> list[RequestClass]:
    """The classes as they were measured."""
    return [RequestClass(name, rate, CLASSES[name][1], age_s=age_s) for name, rate in rates.items()]


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

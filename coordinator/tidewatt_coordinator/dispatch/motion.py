"""Bounded motion (guarantee G4): weights go towards the best ones, not farther than they may. Pure.

What the old weights may no longer do is undone at once: a backend that may not serve a class gets none of it,
one that would be over its capacity is cut, whatever the bound says. All else moves along the straight line to
the target, whose points are as feasible as its two ends, by at most the bound of L1 per class.
"""

from dataclasses import dataclass

import numpy as np

from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool

SLACK = 1e-9
#: So far (L1 of a class) shares may be from the best ones for want of a gain. Beyond it they move though it
#: saves nothing: a backend that came back among its equals would stay empty, and they would stay full.
NEAR = 0.1


@dataclass(frozen=True)
class Moved:
    """Shares to publish, and how they came about."""

    shares: Floats
    """(n, K); a column sums to 1, or to 0 for a class of which nothing is served."""
    safety: bool
    """Whether safety moved them farther than the bound."""
    held: bool
    """Whether the target was not worth moving for."""


def shares_of(plan: Plan) -> Floats:
    """(n, K) of each class."""
    return np.asarray(plan.placed / np.where(plan.admitted > 0.0, plan.admitted, 1.0)[None, :])


def moved(
    old: Floats,
    had: Flags,
    plan: Plan,
    pool: Pool,
    allowed: Flags,
    *,
    bound: float,
    hysteresis: float,
    mixture: bool,
) -> Moved:
    """From the (n, K) shares in force towards the plan; `had` is (K,) whether a class had any."""
    target = shares_of(plan)
    live = had & (plan.admitted > 0.0)
    start = np.where(live[None, :], old, target)
    cut = np.where(allowed, start, 0.0)
    cut *= _within(cut * plan.admitted, pool.capacity)[:, None]
    start = _refilled(cut, target)
    needed = _least(start, target, plan, pool, mixture=mixture)
    distance = float(np.abs(target - start).sum(axis=0).max()) if target.size else 0.0
    safe = needed == 0.0 and bool(np.allclose(start[:, live], old[:, live], atol=SLACK, rtol=0.0))
    if safe and distance <= NEAR and not _worth(start, target, plan, pool, hysteresis):
        return Moved(start, safety=False, held=True)
    step = 1.0 if distance <= bound else bound / distance
    step = max(step, needed)
    return Moved(start + step * (target - start), safety=not safe, held=False)


def _within(load: Floats, capacity: Floats) -> Floats:
    """(n,) the share of its load that each backend may keep."""
    total = load.sum(axis=1)
    over = total > capacity * (1.0 + SLACK)
    return np.where(over, capacity / np.where(over, total, 1.0), 1.0)


def _refilled(cut: Floats, target: Floats) -> Floats:
    """What was taken away goes where the target has more."""
    missing = np.maximum(target.sum(axis=0) - cut.sum(axis=0), 0.0)
    room = np.maximum(target - cut, 0.0)
    total = room.sum(axis=0)
    return np.asarray(cut + room * (missing / np.where(total > 0.0, total, 1.0))[None, :])


def _least(start: Floats, target: Floats, plan: Plan, pool: Pool, *, mixture: bool) -> float:
    """The least step that leaves no limit broken: each is linear along the way."""
    limits = [(start @ plan.admitted, target @ plan.admitted, pool.capacity * (1.0 + SLACK))]
    if mixture:
        limits.append(
            ((start * pool.slow).sum(axis=0), (target * pool.slow).sum(axis=0), pool.bearable * (1.0 + SLACK))
        )
    least = 0.0
    for here, there, most in limits:
        broken = (here > most) & (here > there)
        if np.any(broken):
            steps = (here[broken] - most[broken]) / (here[broken] - there[broken])
            least = max(least, min(float(np.max(steps)), 1.0))
    return least


def _worth(start: Floats, target: Floats, plan: Plan, pool: Pool, hysteresis: float) -> bool:
    costs = pool.costs() * plan.admitted[None, :]
    now, then = float((start * costs).sum()), float((target * costs).sum())
    return now - then > hysteresis * abs(now)

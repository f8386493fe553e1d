"""How many replicas a workload should have before its demand comes. Pure.

The autoscaler stays the one that reacts: what isn't trusted is left to it.
"""

import math

import msgspec

from tidewatt_coordinator.levers.kubernetes.settings import Scaled
from tidewatt_coordinator.rollout.windows import open_now


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about one workload."""

    replicas: int | None
    """None: leave it to the autoscaler."""
    why: str


def wanted(
    terms: Scaled,
    now: int,
    peak_rps: float | None,
    skill: float | None,
    now_ms: int,
    *,
    least_skill: float,
    step: float,
) -> Wanted:
    """The replicas for the peak that is forecast.

    Clamped to `least`..`most`, at most twice what there is, and only if it differs by `step` of what there
    is. A forecast without skill, or none at all, says nothing.
    """
    if not terms.production and any(open_now(window, now_ms) for window in terms.asleep):
        return Wanted(replicas=0 if now else None, why="not production, and its hours are over")
    if not terms.production and not now and terms.asleep:
        return Wanted(replicas=max(terms.least, 1), why="its hours have begun")
    if peak_rps is None or not math.isfinite(peak_rps) or peak_rps < 0:
        return Wanted(replicas=None, why="there is no forecast")
    if skill is None or not skill >= least_skill:
        known = "unknown" if skill is None else f"{skill:.2f}"
        return Wanted(replicas=None, why=f"the forecast's skill is {known}, below {least_skill:.2f}")
    needed = math.ceil(peak_rps / (terms.per_replica_rps * terms.utilisation) - 1e-9)
    found = min(max(needed, terms.least), terms.most)
    # Whatever stands at zero has nothing to double.
    found = min(found, max(2 * now, terms.least, 1))
    why = f"a peak of {peak_rps:.1f}/s is forecast, {needed} replicas' at {terms.utilisation:.0%}"
    if terms.least <= now <= terms.most and abs(found - now) < step * now:
        return Wanted(replicas=None, why=f"{why}: {now} are near enough")
    return Wanted(replicas=found if found != now else None, why=why)

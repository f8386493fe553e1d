"""Why a proposal may not begin now, or needs nobody's approval. Pure."""

from collections.abc import Sequence

import msgspec

from tidewatt_coordinator.levers.lever import Lever
from tidewatt_coordinator.levers.settings import Levers
from tidewatt_coordinator.proposals.score import score
from tidewatt_coordinator.proposals.state import Proposal, needs_verdict

#: What the rule's approvals begin with.
RULE = "the rule: "


class Busy(msgspec.Struct, frozen=True, kw_only=True):
    """What goes on already."""

    begun: Sequence[Proposal]
    """Those applied, watched or taken back at this moment."""
    lately: int
    """How many were begun within the last hour, routine left out."""
    window: bool = False
    """Whether a freeze window is open."""
    stop: str = ""
    """The global stop's sentence; empty: there is none."""


def held(one: Proposal, busy: Busy, levers: Levers, lever: Lever) -> str:
    """Why it may not begin now, in a sentence; empty: it may."""
    if busy.stop:
        return f"waits: {busy.stop}"
    if lever.dry_run:
        return f"dry run: levers.{one.recommendation.driver}.dry_run is true"
    if busy.window:
        return "waits: a freeze window is open"
    return _crowded(one, busy, levers)


def _crowded(one: Proposal, busy: Busy, levers: Levers) -> str:
    target = [other for other in busy.begun if _target(other) == _target(one)]
    capacity = sum(other.recommendation.capacity for other in busy.begun) + one.recommendation.capacity
    if target:
        return f"waits for {target[0].id}, which changes {one.recommendation.target}, too"
    if busy.lately >= levers.changes_per_hour and not one.recommendation.routine:
        return f"waits: {busy.lately} changes were begun within the hour, {levers.changes_per_hour} may be"
    if one.recommendation.capacity and capacity > levers.most_capacity:
        return f"waits: {capacity:.0%} of the capacity would be changing, {levers.most_capacity:.0%} may be"
    return ""


def by_rule(one: Proposal, lever: Lever) -> str:
    """The sentence that approves it without a person; empty: a person is needed."""
    told = one.recommendation
    if (
        lever.approve != "rule"
        or lever.dry_run
        or told.irreversible
        or told.final
        or told.risk != "low"
        or told.disruption > lever.most_disruption
        or (needs_verdict(told) and (one.verdict is None or one.verdict.word != "ok"))
    ):
        return ""
    if told.routine:
        return f"{RULE}routine, low risk"
    found = score(told)
    if found is None or found < lever.least_score or told.saving.low <= 0:
        return ""
    return f"{RULE}score {found:.3g} of at least {lever.least_score:g}, low risk"


def _target(one: Proposal) -> tuple[str, str]:
    return one.recommendation.driver, one.recommendation.target

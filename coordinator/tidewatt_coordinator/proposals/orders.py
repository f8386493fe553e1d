"""What a person, or a rule, may ask of a proposal. Pure: the next state, or NothingToDo with the reason."""

from msgspec.structs import replace

from tidewatt_coordinator.proposals.state import Proposal, moved, needs_verdict, undoing
from tidewatt_coordinator.rollout.orders import NothingToDo


def approve(
    state: Proposal, by: str, now_ms: int, *, without_verdict: bool = False, final: bool = False
) -> Proposal:
    """Let it be applied as soon as limits and the promise allow. `final`: who approves knows that it can't be
    taken back.
    """
    if state.recommendation.irreversible:
        raise NothingToDo(f"{state.id} can't be taken back once it is done: it is recommended only")
    if state.recommendation.final and not final:
        raise NothingToDo(f"{state.id} has no rollback, it is final: say so with --final, or `final` true")
    if state.stage != "open":
        raise NothingToDo(f"{state.id} is {state.stage} already: {state.reason}")
    word = state.verdict.word if state.verdict else "unknown"
    why = state.verdict.sentence if state.verdict else "nothing was measured"
    judged = needs_verdict(state.recommendation)
    if word == "violates" and judged:
        raise NothingToDo(f"{state.id} would break the promise: {why}")
    if word == "unknown" and judged and not without_verdict:
        raise NothingToDo(f"{state.id}: whether the promise holds is unknown: {why}")
    approved = replace(state, approved_by=by, without_verdict=without_verdict)
    return moved(approved, "approved", f"approved by {by}", now_ms)


def reject(state: Proposal, by: str, why: str, now_ms: int) -> Proposal:
    """Don't do it, and don't propose it again for a while."""
    if state.stage not in ("open", "approved"):
        raise NothingToDo(f"{state.id} is {state.stage}: {state.reason}")
    return moved(state, "rejected", f"rejected by {by}{': ' + why if why else ''}", now_ms)


def roll_back(state: Proposal, by: str, why: str, now_ms: int) -> Proposal:
    """Take it back, watched or kept."""
    if state.stage == "approved":
        return moved(state, "open", f"approval taken back by {by}", now_ms)
    if state.stage not in ("applying", "guarding", "kept"):
        raise NothingToDo(f"{state.id} is {state.stage}, so there is nothing to take back: {state.reason}")
    if told := state.recommendation.final:
        raise NothingToDo(f"{state.id} is final: {told}")
    return undoing(state, f"taken back by {by}{': ' + why if why else ''}", now_ms)

"""What an operator may ask of a rollout: each a step of the same state machine. Pure.

Every order returns the next state or raises NothingToDo with the sentence that says why.
"""

from msgspec.structs import replace

from tidewatt_coordinator.rollout.plan import LIVE, State


class NothingToDo(ValueError):
    """An order that would change nothing; the sentence says why."""


def approve(state: State) -> State:
    """Let the next wave begin once this one has soaked, even if the evidence is too little."""
    _live(state)
    number = state.wave + 1
    if state.approved >= number:
        raise NothingToDo(f"wave {number} of rollout {state.id} is approved already")
    if state.wave == len(state.plan.waves):
        return replace(state, approved=number, reason="approved: completes once it has soaked")
    return replace(state, approved=number, reason=f"wave {number} is approved")


def pause(state: State, why: str) -> State:
    """Stay as it is: nobody joins, nobody leaves."""
    _live(state)
    if state.stage == "paused":
        raise NothingToDo(f"rollout {state.id} is paused already: {state.reason}")
    return replace(state, stage="paused", reason=f"paused by the operator{': ' + why if why else ''}")


def resume(state: State, now_ms: int) -> State:
    """Go on. The present wave is watched anew from now: the operator has looked at what was before."""
    _live(state)
    if state.stage != "paused":
        raise NothingToDo(f"rollout {state.id} isn't paused: {state.reason}")
    stage = replace(state, stage="soaking" if state.wave else "planned", reason="resumed by the operator")
    return replace(stage, since_ms=now_ms) if state.wave else stage


def abort(state: State, why: str) -> State:
    """End it: the old rules hold for everybody."""
    _live(state)
    return replace(
        state,
        stage="aborted",
        reason=f"aborted by the operator{': ' + why if why else ''}, the old rules hold",
    )


def _live(state: State) -> None:
    if state.stage not in LIVE:
        raise NothingToDo(f"rollout {state.id} has ended ({state.stage}): {state.reason}")

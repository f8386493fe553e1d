"""A proposal as a state machine over values. Pure.

    open -> approved -> applying -> guarding -> kept
    open -> rejected | withdrawn         approved -> open (old, or of what is told otherwise now) | withdrawn
    applying -> failed (nothing was changed) | undoing | foreign
    guarding, kept -> undoing -> rolled_back | foreign

`step` looks at one proposal and at what is seen of the world, and says the next state and at most one deed.
The state is kept before the deed is done, and what was done is only ever learned by reading: so whoever is
killed between any two steps goes on from what was kept, and nothing is done twice that could differ the
second time. Freezes and limits hold back what applies, never what undoes. What is final is never undone:
where others are taken back it stays, and says how to get back what it did away with.
"""

from typing import Literal

import msgspec
from msgspec.structs import replace

from tidewatt_coordinator.levers.driver import Recommendation
from tidewatt_coordinator.levers.standing import Standing
from tidewatt_coordinator.sla.verdict import Verdict

Stage = Literal[
    "open", "approved", "applying", "guarding", "kept", "undoing",
    "rejected", "withdrawn", "failed", "rolled_back", "foreign",
]  # fmt: skip
Deed = Literal["apply", "undo"]
Failure = Literal["", "again", "refused"]

#: Those that a step can move. In the first nothing was sent yet, in the others something may have been.
WAITING: tuple[Stage, ...] = ("open", "approved")
BEGUN: tuple[Stage, ...] = ("applying", "guarding", "undoing")
LIVE: tuple[Stage, ...] = ("approved", *BEGUN)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How long things may take, ms."""

    approval_ms: int = 86_400_000
    """An approval holds: what nobody could begin by then is to be looked at again."""
    deadline_ms: int = 3_600_000
    """From the first send until it must stand and be settled."""
    guard_ms: int = 3_600_000
    """The promise is watched after it stands."""
    late_ms: int = 120_000
    """A request that timed out may still arrive so long after it was sent."""
    first_pause_ms: int = 5_000
    longest_pause_ms: int = 300_000
    """Between two tries; each pause is twice the one before."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One, whole: what is kept in the database."""

    id: str
    recommendation: Recommendation
    made_ms: int
    stage: Stage = "open"
    since_ms: int = 0
    """Of the stage."""
    reason: str = ""
    """Why it is there, in a sentence."""
    verdict: Verdict | None = None
    """On the recommendation while it waits, on what was seen once it stands."""
    approved_by: str = ""
    without_verdict: bool = False
    """Whoever approved it takes it upon himself that the promise is unknown."""
    begun_ms: int | None = None
    """When it was first sent."""
    stood_ms: int | None = None
    """When it was seen to stand whole."""
    tries: int = 0
    """Of the present direction."""
    due_ms: int = 0
    """No try sooner than this."""
    unanswered_ms: int = 0
    """When the last try was sent of which nobody knows how it ended: it may still land. 0: there is none."""
    failure: Failure = ""
    """What the last try ended with; "refused" is for good."""
    said: str = ""
    """The sentence of that failure."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The world, as far as a step needs it."""

    standing: Standing | None = None
    """None: the setting couldn't be read."""
    settled: bool = True
    verdict: Verdict | None = None
    """On the service as it is since the change stands."""
    held: str = ""
    """Why nothing may begin now; empty: it may."""
    stopped: bool = False
    """The global stop: nothing more is applied, not even what has begun."""
    followed: str = ""
    """The approved routine that goes on from here and must not wait for the guard to end; empty: none."""


def step(state: Proposal, seen: Seen, terms: Terms, now_ms: int) -> tuple[Proposal, Deed | None]:
    """The next state, with what is to be done once that is kept. One that stays is the same object."""
    if state.stage == "approved":
        return _begin(state, seen, terms, now_ms)
    if state.stage == "applying":
        return _apply(state, seen, terms, now_ms)
    if state.stage == "guarding":
        return _guard(state, seen, terms, now_ms), None
    if state.stage == "undoing":
        return _undo(state, seen, terms, now_ms)
    return state, None


def needs_verdict(told: Recommendation) -> bool:
    """Whether the promise has a say: not where routine has no effect on it that could be bad, as more
    replicas while it is broken.
    """
    return not (told.routine and told.effects == {})


def moved(state: Proposal, stage: Stage, reason: str, now_ms: int) -> Proposal:
    """The same in another stage."""
    return replace(state, stage=stage, since_ms=now_ms, reason=reason)


def outcome(state: Proposal, failure: Failure, said: str, unanswered_ms: int) -> Proposal:
    """The same with what the last try ended with; `unanswered_ms`: as it was before, if that was answered."""
    return replace(state, failure=failure, said=said, unanswered_ms=unanswered_ms)


def rebased(state: Proposal, terms: Terms, now_ms: int) -> Proposal:
    """The same, for a clock that was set back: nothing has happened in the future, and no try is farther off
    than the longest pause. Else a guard would watch, and a way back wait, until that future comes.
    """
    due_ms = state.due_ms if state.due_ms <= now_ms + terms.longest_pause_ms else now_ms
    happened = (state.since_ms, state.begun_ms or 0, state.stood_ms or 0, state.unanswered_ms)
    if due_ms == state.due_ms and max(happened) <= now_ms:
        return state
    return replace(
        state,
        since_ms=min(state.since_ms, now_ms),
        begun_ms=None if state.begun_ms is None else min(state.begun_ms, now_ms),
        stood_ms=None if state.stood_ms is None else min(state.stood_ms, now_ms),
        unanswered_ms=min(state.unanswered_ms, now_ms),
        due_ms=due_ms,
    )


def undoing(state: Proposal, why: str, now_ms: int) -> Proposal:
    """The same, to be taken back from now on; what is final stays as it stands."""
    if told := state.recommendation.final:
        return moved(state, "kept" if state.stood_ms else "failed", f"{why}; it is final: {told}", now_ms)
    return moved(replace(state, tries=0, due_ms=now_ms, failure="", said=""), "undoing", why, now_ms)


def _begin(state: Proposal, seen: Seen, terms: Terms, now_ms: int) -> tuple[Proposal, Deed | None]:
    if now_ms - state.since_ms > terms.approval_ms:
        reason = f"the approval of {state.approved_by} is old: it could not begin ({state.reason})"
        return moved(replace(state, approved_by="", without_verdict=False), "open", reason, now_ms), None
    if seen.standing in ("partial", "foreign"):
        return moved(state, "withdrawn", "the setting has changed since it was proposed", now_ms), None
    if seen.standing == "applied":
        return moved(state, "withdrawn", "it is so already", now_ms), None
    wait = seen.held or _unread(seen) or ("" if seen.settled else "waits: the setting is being changed")
    wait = wait or _promise(state, seen)
    if wait or seen.stopped:
        return _because(state, wait or "waits: everything is frozen"), None
    begun = replace(state, begun_ms=now_ms, tries=0, failure="", said="")
    return _send(moved(begun, "applying", "is being applied", now_ms), terms, now_ms), "apply"


def _promise(state: Proposal, seen: Seen) -> str:
    if not needs_verdict(state.recommendation):
        return ""
    word = seen.verdict.word if seen.verdict else "unknown"
    why = seen.verdict.sentence if seen.verdict else "nothing was measured"
    if word == "violates":
        return f"waits: the promise would be broken: {why}"
    if word == "unknown" and not state.without_verdict:
        return f"waits: whether the promise holds is unknown: {why}"
    return ""


def _apply(state: Proposal, seen: Seen, terms: Terms, now_ms: int) -> tuple[Proposal, Deed | None]:
    late = now_ms - (state.begun_ms or now_ms) > terms.deadline_ms
    if seen.standing is None:
        return _because(state, _unread(seen)), None
    if seen.standing == "foreign":
        return moved(state, "foreign", "somebody else changed it meanwhile: left as it is", now_ms), None
    if seen.standing == "applied":
        return _stands(state, now_ms, settled=seen.settled, late=late), None
    if state.failure == "refused" or late:
        return _give_up(state, seen.standing, terms, now_ms), None
    if seen.stopped or now_ms < state.due_ms:
        return state, None
    return _send(state, terms, now_ms), "apply"


def _stands(state: Proposal, now_ms: int, *, settled: bool, late: bool) -> Proposal:
    if settled:
        stands = replace(state, stood_ms=now_ms, tries=0, failure="", said="")
        return moved(stands, "guarding", "stands; the promise is watched", now_ms)
    if late and not state.recommendation.final:
        return undoing(state, "it did not settle by its deadline", now_ms)
    return _because(state, "stands; waits until it has settled")


def _give_up(state: Proposal, standing: Standing, terms: Terms, now_ms: int) -> Proposal:
    if standing == "partial":
        return undoing(state, f"half of it was done: {state.said or 'by the deadline'}", now_ms)
    if _landing(state, terms, now_ms):
        return state
    return moved(state, "failed", f"nothing was changed: {state.said or 'not by its deadline'}", now_ms)


def _guard(state: Proposal, seen: Seen, terms: Terms, now_ms: int) -> Proposal:
    if seen.standing in ("untouched", "partial", "foreign"):
        return moved(state, "foreign", "somebody else changed it while it was watched: left as it is", now_ms)
    word = seen.verdict.word if seen.verdict else "unknown"
    why = seen.verdict.sentence if seen.verdict else "nothing was measured"
    watched_ms = now_ms - state.since_ms
    state = _judged(state, seen.verdict)
    judged = needs_verdict(state.recommendation)
    if word == "violates" and judged:
        return undoing(state, f"the promise broke: {why}", now_ms)
    if seen.followed and seen.standing is not None:
        return moved(state, "kept", f"kept: {seen.followed} goes on from here", now_ms)
    if watched_ms < terms.guard_ms or seen.standing is None:
        return state
    if word == "ok" or state.without_verdict or not judged:
        return moved(state, "kept", f"kept: {why}", now_ms)
    waits = watched_ms < 2 * terms.guard_ms
    return state if waits else undoing(state, f"nobody can say whether the promise holds: {why}", now_ms)


def _judged(state: Proposal, verdict: Verdict | None) -> Proposal:
    """With the verdict where it says another word: the figures change with every look."""
    if verdict is None or (state.verdict and state.verdict.word == verdict.word):
        return state
    return replace(state, verdict=verdict)


def _undo(state: Proposal, seen: Seen, terms: Terms, now_ms: int) -> tuple[Proposal, Deed | None]:
    if seen.standing is None:
        return state, None
    if seen.standing == "foreign":
        reason = f"somebody else changed the setting since: left as it is ({state.reason})"
        return moved(state, "foreign", reason, now_ms), None
    if seen.standing == "untouched" and seen.settled and not _landing(state, terms, now_ms):
        return moved(state, "rolled_back", state.reason, now_ms), None
    if seen.standing == "untouched" or now_ms < state.due_ms:
        return state, None
    return _send(state, terms, now_ms), "undo"


def _send(state: Proposal, terms: Terms, now_ms: int) -> Proposal:
    pause = min(terms.first_pause_ms * 2 ** min(state.tries, 30), terms.longest_pause_ms)
    return replace(state, tries=state.tries + 1, unanswered_ms=now_ms, due_ms=now_ms + pause)


def _landing(state: Proposal, terms: Terms, now_ms: int) -> bool:
    """Whether a try may still land: it would stand then, with nobody to see it."""
    return state.unanswered_ms > 0 and now_ms - state.unanswered_ms <= terms.late_ms


def _because(state: Proposal, reason: str) -> Proposal:
    return state if state.reason == reason else replace(state, reason=reason)


def _unread(seen: Seen) -> str:
    return "waits: the setting can't be read" if seen.standing is None else ""

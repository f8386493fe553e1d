"""The rollout as a state machine over values. Pure.

    planned -> waiting_approval -> soaking (wave 1, gate) -> ... -> soaking (wave n, gate) -> complete
    any of these -> paused -> (by the operator) where it was;  any of these -> aborted

`step` looks at one state and the facts and says the next state and why, in a sentence. It
does at most one thing, so whoever is interrupted between two steps goes on from the state
that was kept. Invariants, each a test: waves are only added; a paused rollout never
advances, nor one outside its window or above its rate; what has ended stays ended.
"""

from datetime import datetime, timezone
from typing import Literal

import msgspec

from tidewatt_coordinator.rollout.gates import Contrast, Seen, energy_factor, judge
from tidewatt_coordinator.rollout.terms import Plan, unix_ms
from tidewatt_wire.messages import Rollout, Rule, Wave

Stage = Literal["planned", "waiting_approval", "soaking", "paused", "complete", "aborted"]
Verb = Literal["wait", "advance", "complete", "pause", "abort"]

LIVE: tuple[Stage, ...] = ("planned", "waiting_approval", "soaking", "paused")
MOVING: tuple[Stage, ...] = ("planned", "waiting_approval", "soaking")
HOUR_MS = 3_600_000


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """Rules, and when they hold."""

    rules: list[Rule]
    not_before_ms: int = 0
    not_after_ms: int | None = None
    document: str = ""
    """The sha256 of the document they come from; empty: the coordinator's configuration."""
    name: str = "configuration"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout, whole: what is kept in the database."""

    id: str
    plan: Plan
    base: Content
    new: Content
    begun_ms: int
    stage: Stage = "planned"
    wave: int = 0
    """Waves reached."""
    reached_ms: list[int] = []
    """When each was."""
    since_ms: int = 0
    """Since when the present wave is watched: reached, or resumed after a pause."""
    approved: int = 0
    """Waves the operator has let pass, up to this one."""
    before: list[Contrast] = []
    """For each wave: those it reaches and the rest, as they were before the first."""
    reason: str = "planned"
    joules_factor: float | None = None
    """Joules per request of those reached, as a multiple of what they were before; None: not known."""
    compared: bool = False
    """Whether that is against devices that were not reached yet."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of the fleet, for one wave of one rollout as it stood when it was looked at."""

    wave: int
    since_ms: int
    seen: list[Seen] = []
    contrasts: list[Contrast] = []
    """For each wave of the plan: those it and the ones before it reach, and the rest."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The world, as far as a step needs it."""

    window_open: bool = True
    evidence: Evidence | None = None
    """None: not looked at this time."""


def step(state: State, facts: Facts, now_ms: int) -> tuple[State, str]:
    """The next state, and the sentence that says why. The same state again when nothing happens."""
    if state.stage not in MOVING:
        return state, state.reason
    verb, stage, reason = _decide(state, facts, now_ms)
    match verb:
        case "wait":
            return msgspec.structs.replace(state, stage=stage, reason=reason), reason
        case "advance":
            return _advanced(state, facts, reason, now_ms), reason
        case "complete" | "pause" | "abort":
            ended: dict[str, Stage] = {"complete": "complete", "pause": "paused", "abort": "aborted"}
            factor, compared = _factor(state, facts)
            return msgspec.structs.replace(
                state, stage=ended[verb], reason=reason, joules_factor=factor, compared=compared
            ), reason


def rollout_of(state: State, waves: int) -> Rollout:
    """The rollout with so many waves reached, as the wire says it."""
    reached = [Wave(percent=wave.percent, match=wave.match) for wave in state.plan.waves[:waves]]
    return Rollout(id=state.id, rules=state.new.rules, waves=reached)


def wants_evidence(state: State, now_ms: int) -> bool:
    """Whether a look at the ledger and the fleet could change anything now."""
    if state.stage not in MOVING:
        return False
    return state.wave == 0 or now_ms >= state.since_ms + round(state.plan.gates.settle_s * 1000)


def soak_ms(state: State) -> int:
    """How long the present wave is watched at the least."""
    own = state.plan.waves[state.wave - 1].soak_s if state.wave else None
    return round((state.plan.soak_s if own is None else own) * 1000)


_Decision = tuple[Verb, Stage, str]


def _decide(state: State, facts: Facts, now_ms: int) -> _Decision:
    ends_ms = state.new.not_after_ms
    if ends_ms is not None and now_ms >= ends_ms:
        return "abort", "aborted", f"the new rules ended at {clock_time(ends_ms)}: aborted"
    late_ms = unix_ms(state.plan.not_after)
    if late_ms is not None and now_ms >= late_ms:
        return "pause", "paused", f"not through by {clock_time(late_ms)}, as rollout.not_after asks: paused"
    if state.wave:
        held = _watched(state, facts, now_ms)
        if held:
            return held
        if state.wave == len(state.plan.waves):
            return "complete", "complete", f"wave {_of(state)} did no worse: the rules hold for all"
    return _next_wave(state, facts, now_ms)


def _watched(state: State, facts: Facts, now_ms: int) -> _Decision | None:
    """What the present wave's outcome asks for; None once it has passed."""
    settled_ms = state.since_ms + round(state.plan.gates.settle_s * 1000)
    if now_ms < settled_ms:
        return "wait", "soaking", f"wave {_of(state)} settles until {clock_time(settled_ms)}"
    evidence = facts.evidence
    if evidence is None or (evidence.wave, evidence.since_ms) != (state.wave, state.since_ms):
        return "wait", state.stage, state.reason
    verdict = judge(state.plan.gates, evidence.seen, state.before[state.wave - 1])
    if verdict.failed:
        abort = state.plan.on_failure == "abort"
        said = f"wave {_of(state)}: {'; '.join(verdict.failed)}"
        return ("abort", "aborted", f"{said}: aborted, the old rules hold") if abort else (
            "pause", "paused", f"{said}: paused"
        )  # fmt: skip
    until_ms = state.since_ms + soak_ms(state)
    if now_ms < until_ms:
        so_far = "; ".join(verdict.passed + verdict.unsure)
        return "wait", "soaking", f"wave {_of(state)} soaks until {clock_time(until_ms)}; so far {so_far}"
    if verdict.unsure and state.approved <= state.wave:
        return _unsure(state, "; ".join(verdict.unsure), now_ms)
    return None


def _unsure(state: State, why: str, now_ms: int) -> _Decision:
    last_ms = state.since_ms + round(state.plan.longest_soak_s * 1000)
    if now_ms >= last_ms:
        return "pause", "paused", f"wave {_of(state)}: still too little evidence ({why}): paused"
    return "wait", "soaking", f"wave {_of(state)} soaks on for want of evidence: {why}"


def _next_wave(state: State, facts: Facts, now_ms: int) -> _Decision:
    """Whether the next wave may be reached now."""
    plan = state.plan
    number = state.wave + 1
    waiting: Stage = "soaking" if state.wave else "planned"
    asked = plan.approval == "each_wave" or (plan.approval == "start" and not state.wave)
    if asked and state.approved < number:
        return "wait", "waiting_approval", f"wave {number} of {len(plan.waves)} waits for approval"
    starts_ms = max(unix_ms(plan.not_before) or 0, state.new.not_before_ms)
    if now_ms < starts_ms:
        return "wait", waiting, f"wave {number} is not reached before {clock_time(starts_ms)}"
    if not facts.window_open:
        return "wait", waiting, f"wave {number} waits for its maintenance window"
    lately = [at_ms for at_ms in state.reached_ms if now_ms - at_ms < HOUR_MS]
    if plan.waves_per_hour is not None and len(lately) >= plan.waves_per_hour:
        return "wait", waiting, f"wave {number} waits: {plan.waves_per_hour} an hour at the most"
    if not state.wave and (facts.evidence is None or len(facts.evidence.contrasts) != len(plan.waves)):
        return "wait", waiting, "the fleet is looked at once before the first wave"
    wave = plan.waves[state.wave]
    whom = "".join(f" with {key} = {value}" for key, value in sorted(wave.match.items()))
    return (
        "advance", "soaking",
        f"wave {number} of {len(plan.waves)} is reached: {wave.percent:g} % of the devices{whom}",
    )  # fmt: skip


def _advanced(state: State, facts: Facts, reason: str, now_ms: int) -> State:
    before = state.before
    if not state.wave and facts.evidence:
        before = facts.evidence.contrasts
    factor, compared = _factor(state, facts)
    return msgspec.structs.replace(
        state,
        joules_factor=factor,
        compared=compared,
        stage="soaking",
        wave=state.wave + 1,
        reached_ms=[*state.reached_ms, now_ms],
        since_ms=now_ms,
        before=before,
        reason=reason,
    )


def _factor(state: State, facts: Facts) -> tuple[float | None, bool]:
    """The effect on joules per request, as far as it is known; from a comparison if there was one."""
    if not state.wave or facts.evidence is None:
        return state.joules_factor, state.compared
    factor, compared = energy_factor(facts.evidence.seen, state.plan.gates.least_requests)
    if factor is None or (state.compared and not compared):
        return state.joules_factor, state.compared
    return factor, compared


def _of(state: State) -> str:
    return f"{state.wave} of {len(state.plan.waves)}"


def clock_time(at_ms: int) -> str:
    """A moment as people read it."""
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")

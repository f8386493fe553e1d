"""The decision: which operating point serves the traffic with the least energy.

Invariants (each is a property test):
- pure: the same arguments give the same result;
- safe: with no load known for longer than a grace the board stands at the safe point;
- up at once, down only after the dwell and only for a saving that pays the switch;
- more demand planned for, at the same present rate, never gives less capacity;
- a forecast, whatever it says, never gives less capacity than none, and no more does a hint, unless the
  plan behind it has the margin: then never less than the reactive rule with the policy's headroom;
- a point outside the policy's allowed ones is never gone to, whatever the board refuses;
- a limit of heat, current, watts or charge is kept within one tick wherever a point is within it;
- what isn't measured binds nothing;
- a trim carries the present demand, and there is none where the load isn't known;
- a lease is kept wherever those limits leave a point that high;
- deciding again with the same input changes nothing.

Five steps: remember what is new, let the rules leave out points (`rules/`, in their order), choose among
the rest (`choice.py`), name the rule that bound, if without it another point had been chosen, and put the
mode under caps where the present load needs less than all of it (`trim.py`).
"""

from collections.abc import Collection, Sequence

import msgspec

from tidewatt_governor.choice import choose, planned_demand
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.guard import note_guard
from tidewatt_governor.hints import Hint, under
from tidewatt_governor.leases import Lease
from tidewatt_governor.points import find, strongest
from tidewatt_governor.rules import Points, Question, limit, note
from tidewatt_governor.sample import Load
from tidewatt_governor.situation import Situation
from tidewatt_governor.state import Decision, GovernorState, Minute, Trimming, moved, remember
from tidewatt_governor.trim import choose_trim
from tidewatt_wire.messages import OperatingPoint, Policy

__all__ = ["Decision", "GovernorState", "Minute", "decide", "moved", "planned_demand"]


def decide(
    state: GovernorState,
    load: Load | None,
    policy: Policy,
    board: Sequence[OperatingPoint],
    vendor_default: str,
    now_s: float,
    leases: Sequence[Lease] = (),
    barred: Collection[str] = (),
    situation: Situation = Situation(),  # noqa: B008 - frozen
    forecast: Forecast | None = None,
    hint: Hint | None = None,
) -> tuple[GovernorState, Decision]:
    """The new state and the decision. `now_s` is monotonic; `board` has at least one point.

    `leases`: the floors in force, which the decision keeps to as far as the other limits allow.
    `barred`: points, and trims as POINT/TRIM, that the board did not take, and isn't asked for now.
    `situation`: what else is known of the world.
    `forecast`: followed only if trusted and fresh, and only upwards.
    `hint`: the fleet's planner asks for a point; followed until it ends, only upwards, within the limits.

    The state remembers demand but doesn't move: a decision isn't a deed (see `moved`).

    Raises ValueError if `board` is empty.
    """
    if not board:
        raise ValueError("the board has no operating points: it is empty")
    question = Question(
        state=state,
        load=load,
        policy=policy,
        board=board,
        vendor_default=vendor_default,
        now_s=now_s,
        leases=leases,
        barred=barred,
        situation=situation,
        forecast=forecast,
        hint=hint,
    )
    state = _remember(question)
    question = msgspec.structs.replace(question, state=state)
    limits = limit(question)
    if not limits.offered:
        # The policy's limits hold without the points that the board refuses, too: better still than beyond.
        return msgspec.structs.replace(state, trimming=Trimming()), _hold_refused(question)
    question = msgspec.structs.replace(question, offered=limits.offered)
    if leaner := under(policy, hint, limits.left, now_s):
        # Only now: the board goes on learning its own margin for the day on which nobody plans.
        question = msgspec.structs.replace(question, policy=leaner, forecast=None)
    decision = wanted = _decide(question, limits.offered)
    if limits.bindings:
        decision = _decide(question, limits.left)
    trimming, trim, words = choose_trim(question, decision)
    decision = limits.named(decision, wanted.point, state.point)
    if trim:
        decision = msgspec.structs.replace(decision, trim=trim.name, reason=decision.reason + words)
    return msgspec.structs.replace(state, trimming=trimming), decision


def _remember(question: Question) -> GovernorState:
    state, load, now_s = note(question), question.load, question.now_s
    if load is not None:
        guard = note_guard(question, state.minutes)
        return remember(msgspec.structs.replace(state, guard=guard), load, question.policy, now_s)
    since_s = now_s if state.blind_since_s is None else state.blind_since_s
    return msgspec.structs.replace(state, blind_since_s=since_s)


def _decide(question: Question, points: Points) -> Decision:
    state, policy = question.state, question.policy
    if question.load is not None:
        return choose(question, points)
    blind_s = question.now_s - (state.blind_since_s or 0.0)
    if blind_s < policy.blind_grace_s and find(points, state.point):
        reason = f"load unknown for {blind_s:.0f} s of {policy.blind_grace_s:.0f} s grace: hold {state.point}"
        return Decision(point=state.point, rule="load_gap", reason=reason)
    return _stand_safe(question, points)


def _stand_safe(question: Question, points: Points) -> Decision:
    policy, here = question.policy, question.state.point
    choices = (
        (policy.safe_point, "the policy's safe point"),
        (question.vendor_default, "the vendor default"),
        (strongest(points, policy.slo_p95_ms).name, "the strongest allowed point"),
    )
    name, origin = next((name, origin) for name, origin in choices if name and find(points, name))
    reason = f"load unknown: {'hold' if here == name else 'go to'} {origin} {name}"
    return Decision(point=name, rule="no_load_known", reason=reason)


def _hold_refused(question: Question) -> Decision:
    known = {point.name for point in question.board}
    here, barred = question.state.point, ", ".join(sorted(known.intersection(question.barred)))
    reason = f"the board takes none of the allowed points ({barred} not now): hold {here}"
    return Decision(point=here, rule="barred", reason=reason)

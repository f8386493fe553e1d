"""The point for a demand: the cheapest that carries it, and whether a switch that only saves is made.

Demand is planned as the highest one-minute mean rate of the recent window plus the tail guard's margin;
a trusted forecast may raise it, and nothing that a forecast says lowers it.
"""

import math

import msgspec

from tidewatt_governor.forecast.layout import SOON
from tidewatt_governor.guard import COVERED_MIN, PAUSE_SHARE, held_rate, margin, step_margin, window
from tidewatt_governor.hints import BRIMFUL, Hint, asked
from tidewatt_governor.points import cheapest, find, strongest, usable_rps, watts_at
from tidewatt_governor.rules import RESTRAINTS, Points, Question
from tidewatt_governor.rules.restraints import Move
from tidewatt_governor.rules.slo_budget import DAY_S, extra_headroom, spent_s
from tidewatt_governor.state import MINUTE_S, Decision, GovernorState, telling
from tidewatt_wire.messages import OperatingPoint, Policy


class Demand(msgspec.Struct, frozen=True):
    """Requests/s to plan for, and how that came about, in words."""

    rps: float
    words: str
    sure: bool = False
    """Nothing can come before it is planned for anew: no forecast is needed."""


def planned_demand(state: GovernorState, policy: Policy) -> float:
    """Requests/s to plan for without a forecast: the reactive rule. At least one minute is known."""
    return _demand(state, policy).rps


def covered(busiest: float, state: GovernorState, policy: Policy) -> float:
    """Requests/s to plan for when `busiest` is what was seen: with the tail guard's margin."""
    return busiest + max(busiest, state.guard.floor_rps) * (
        margin(state.guard, policy) + extra_headroom(state, policy)
    )


def _busiest(state: GovernorState, policy: Policy) -> float:
    oldest = state.minutes[-1].minute - window(policy)
    return max(one.rps for one in telling([one for one in state.minutes if one.minute > oldest]))


def choose(question: Question, points: Points) -> Decision:
    """The decision for a known load among `points`, of which there is at least one."""
    own = _choose_alone(question, points)
    hint = question.hint
    if hint is None or question.now_s >= hint.until_s:
        return own
    best = own.point
    for name in _asked(question, hint):
        if find(points, name) and _stronger(question, name, best):
            best = name
    if best == own.point:
        return own
    stand = f"stay at {best}" if best == question.state.point else f"go to {best}"
    reason = f"the fleet's plan asks for {best} ({hint.reason}): {stand}"
    return Decision(point=best, rule="hint", reason=reason)


def _asked(question: Question, hint: Hint) -> tuple[str, ...]:
    """The points of which the plan asks for the strongest, by what the device saw itself."""
    state = question.state
    here, rps = find(question.board, state.point), telling(state.minutes)[-1].rps
    usable = usable_rps(here, question.policy.slo_p95_ms) if here else 0.0
    return (asked(hint, rps), hint.point) if rps >= BRIMFUL * usable else (asked(hint, rps),)


def _choose_alone(question: Question, points: Points) -> Decision:
    """The decision without the fleet's hint."""
    state, policy = question.state, question.policy
    reactive = _demand(state, policy)
    decision = _choose(question, points, reactive)
    if raised := _foreseen(question, reactive):
        foreseen = _choose(question, points, raised)
        if _stronger(question, foreseen.point, decision.point):
            return msgspec.structs.replace(foreseen, rule="forecast")
    if extra_headroom(state, policy) > 0.0:
        plain = msgspec.structs.replace(policy, slo_budget=None)
        if _choose(question, points, _demand(state, plain)).point != decision.point:
            return msgspec.structs.replace(decision, rule="slo_budget")
    return decision


def _stronger(question: Question, this: str, than: str) -> bool:
    here, there = find(question.board, this), find(question.board, than)
    slo_p95_ms = question.policy.slo_p95_ms
    return bool(here and there and usable_rps(here, slo_p95_ms) > usable_rps(there, slo_p95_ms))


def _demand(state: GovernorState, policy: Policy) -> Demand:
    row = held_rate(state)
    if row is None:
        rps, share = covered(_busiest(state, policy), state, policy), margin(state.guard, policy)
        return Demand(rps, _words(f"peak of {window(policy)} min", rps, share, state, policy))
    sure = row.left >= COVERED_MIN
    share = max(policy.headroom, PAUSE_SHARE) if sure else step_margin(state.guard, policy)
    busiest = row.rps if sure else row.busiest
    # A step that has been seen is carried with its pause, whatever was planned for it.
    extra = extra_headroom(state, policy)
    rps = max(row.rps * (1.0 + PAUSE_SHARE), busiest + max(busiest, state.guard.floor_rps) * share)
    what = f"{busiest:.0f} rps hold, the next step in {row.left + 1} min,"
    return Demand(rps * (1.0 + extra), _words(what, rps * (1.0 + extra), share, state, policy), sure)


def _words(what: str, rps: float, share: float, state: GovernorState, policy: Policy) -> str:
    words, extra = f"demand {rps:.0f} rps ({what} + {share:.0%}", extra_headroom(state, policy)
    if extra and policy.slo_budget:
        allowed_s = policy.slo_budget * DAY_S
        words += f" + {extra:.0%} as {spent_s(state):.0f} s violate, {allowed_s:.0f} s a day allowed"
    return f"{words})"


def _foreseen(question: Question, reactive: Demand) -> Demand | None:
    """What a trusted, fresh forecast raises the demand to; None where it doesn't."""
    forecast, policy = question.forecast, question.policy
    if forecast is None or not forecast.trusted or reactive.sure:
        return None
    if not 0 <= int(question.now_s // MINUTE_S) - forecast.minute < SOON:
        return None
    rps = forecast.soon_at(policy.forecast_quantile) * (1.0 + policy.forecast_margin)
    if not reactive.rps < rps < math.inf:
        return None
    words = f"demand {rps:.0f} rps (forecast {policy.forecast_quantile} of the next {SOON} min"
    return Demand(
        rps, f"{words} + {policy.forecast_margin:.0%}, above {reactive.rps:.0f} by the last minutes)"
    )


def _choose(question: Question, points: Points, demand: Demand) -> Decision:
    state, slo_p95_ms = question.state, question.policy.slo_p95_ms
    able = [point for point in points if usable_rps(point, slo_p95_ms) >= demand.rps]
    if not able:
        best = strongest(points, slo_p95_ms)
        return Decision(
            point=best.name,
            rule="overload",
            reason=f"{demand.words} exceeds every allowed point within p95 {slo_p95_ms:.0f} ms: "
            f"{_step(question, points, best)}",
        )
    rps = telling(state.minutes)[-1].rps
    here = find(able, state.point)
    if here is None:
        best = cheapest(able, rps)
        fits = _fits(demand, best, slo_p95_ms)
        return Decision(point=best.name, rule="capacity", reason=f"{fits}: {_leave(question, points)}")
    # Hysteresis: staying needs the headroom, moving down needs a little more.
    roomy = demand.rps * (1.0 + question.policy.hysteresis)
    best = cheapest([here, *(one for one in able if usable_rps(one, slo_p95_ms) >= roomy)], rps)
    return _keep_or_save(question, here, best, rps, _fits(demand, best, slo_p95_ms))


def _fits(demand: Demand, best: OperatingPoint, slo_p95_ms: float) -> str:
    if demand.rps <= 0.0:
        return f"{demand.words} fits {best.name}"
    spare = usable_rps(best, slo_p95_ms) / demand.rps - 1.0
    return f"{demand.words} fits {best.name} with {min(spare, 9.99):.0%} to spare"


def _leave(question: Question, points: Points) -> str:
    name = question.state.point
    if find(points, name):
        return f"step up from {name}"
    if find(question.offered, name):
        return f"leave {name}"
    return f"leave {name}, which the policy doesn't allow"


def _step(question: Question, points: Points, best: OperatingPoint) -> str:
    name = question.state.point
    if best.name == name:
        return f"stay at {name}"
    verb = "step up" if find(points, name) else "go"
    return f"{verb} from {name} to {best.name}"


def _keep_or_save(
    question: Question, here: OperatingPoint, best: OperatingPoint, rps: float, fits: str
) -> Decision:
    saving_w = watts_at(here, rps) - watts_at(best, rps)
    if best.name == here.name or saving_w <= 0.0:
        reason = f"{fits}, the cheapest at {rps:.0f} rps: stay"
        return Decision(point=here.name, rule="cheapest", reason=reason)
    move = Move(question=question, here=here, there=best, saving_w=saving_w)
    for restraint in RESTRAINTS:
        if why := restraint(move):
            return Decision(point=here.name, rule=restraint.__name__, reason=f"{fits}{why}")
    down = f"step down from {here.name}, {move.held_s:.0f} s since last switch"
    return Decision(point=best.name, rule="saving", reason=f"{fits} and saves {saving_w:.1f} W: {down}")

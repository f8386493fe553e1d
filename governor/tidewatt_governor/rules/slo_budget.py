"""The SLO budget: seconds a day that may break the promise; who has spent them plans with more headroom."""

from tidewatt_governor.points import usable_rps
from tidewatt_governor.rules.asking import Question
from tidewatt_governor.state import HOUR_S, MINUTE_S, GovernorState, Hour
from tidewatt_wire.messages import Policy

DAY_H = 24
DAY_S = DAY_H * HOUR_S
#: Headroom added when the budget is spent twice over: about what one more step up gives.
MOST_EXTRA = 0.25
#: Of a look after a long silence only the last minute is counted: what the rest was like nobody knows.
LONGEST_LOOK_S = MINUTE_S


def note_violations(question: Question) -> tuple[Hour, ...]:
    """The last day's violating seconds by the hour, with this load's."""
    load, state, now_s = question.load, question.state, question.now_s
    if load is None or question.policy.slo_budget is None or state.last == (now_s, load):
        return state.hours
    hour = int(now_s // HOUR_S)
    kept = tuple(one for one in state.hours if hour - DAY_H < one.hour < hour)
    so_far = state.hours[-1].violating_s if state.hours and state.hours[-1].hour == hour else 0.0
    more = min(load.interval_s, LONGEST_LOOK_S) if _violates(question) else 0.0
    return (*kept, Hour(hour, so_far + more))


def spent_s(state: GovernorState) -> float:
    """Violating seconds over the last day."""
    return sum(one.violating_s for one in state.hours)


def extra_headroom(state: GovernorState, policy: Policy) -> float:
    """Headroom on top of the policy's: 0 within the budget, rising to MOST_EXTRA at twice the budget."""
    if policy.slo_budget is None:
        return 0.0
    beyond = spent_s(state) / (policy.slo_budget * DAY_S) - 1.0
    return MOST_EXTRA * min(1.0, max(0.0, beyond))


def _violates(question: Question) -> bool:
    """By the measured p95, else by the model of where the board stands; False where neither can tell."""
    load, slo_p95_ms = question.load, question.policy.slo_p95_ms
    if load is None:
        return False
    if load.p95_ms is not None:
        return load.p95_ms > slo_p95_ms
    return question.here is not None and load.rps > usable_rps(question.here, slo_p95_ms)

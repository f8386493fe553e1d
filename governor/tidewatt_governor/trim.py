"""The fast loop: within the chosen mode, clock caps for the load that is there now. Pure.

The mode is chosen for minutes (`choice.py`); a cap takes effect in milliseconds and costs no pause, so it
may follow the seconds. Of a mode and its trims only a ladder counts: each rung carries less than the one
above and draws less at every rate. So the weakest that carries the load is the cheapest, whatever the
rate, and more load never gives less capacity.

Invariants (each is a property test): never below the demand; up at once, down only after HOLD_S; none
where the load isn't known; a mode without trims is never capped.
"""

import math

import msgspec

from tidewatt_governor.choice import covered
from tidewatt_governor.points import Figures, find, usable_rps, watts_at
from tidewatt_governor.rules import Question
from tidewatt_governor.state import MINUTE_S, Decision, Trimming, telling
from tidewatt_wire.messages import OperatingPoint, Trim

#: Less must have sufficed for so long before the caps go down.
HOLD_S = 10.0
#: Who looks less often can't follow the seconds, and keeps the mode as it is.
LONGEST_LOOK_S = 15.0
#: A rung must save this share of the watts of the one above at the most that it carries.
LEAST_SAVING = 0.02
#: A promise broken under caps keeps them away for so long.
BROKEN_S = 300.0
#: Decisions that are no choice for a present load, or one for a load to come.
UNTRIMMED = frozenset({"overload", "no_load_known", "load_gap", "barred", "forecast"})

#: How much is to be carried, weakest first; None is the mode uncapped, which has no end.
Rungs = list[tuple[float, Trim | None]]


def choose_trim(question: Question, decision: Decision) -> tuple[Trimming, Trim | None, str]:
    """What is remembered, the trim for the decided point (None: uncapped), and the sentence's clause."""
    point = find(question.board, decision.point)
    if point is None or not point.trims:
        return Trimming(), None, ""
    was, now_s = question.state.trimming, question.now_s
    if was.point != point.name:
        was = Trimming(point=point.name, not_before_s=was.not_before_s)
    if was.trim and _broken(question):
        was = Trimming(point=point.name, not_before_s=now_s + BROKEN_S)
    demand_rps = _demand(question, decision, was)
    if demand_rps is None:
        return Trimming(point=point.name, not_before_s=was.not_before_s), None, ""
    rungs = ladder(point, question)
    trimming = _follow(rungs, was, demand_rps, question)
    trim = next((trim for _, trim in rungs if trim and trim.name == trimming.trim), None)
    return trimming, trim, f", capped to {trim.name} for {demand_rps:.0f} rps" if trim else ""


def ladder(point: OperatingPoint, question: Question) -> Rungs:
    """The point's trims that are worth a cap, weakest first, and the mode itself."""
    slo_p95_ms = question.policy.slo_p95_ms
    above: Figures = point
    rungs: Rungs = [(math.inf, None)]
    for trim in sorted(point.trims, key=lambda one: usable_rps(one, slo_p95_ms), reverse=True):
        most_rps = usable_rps(trim, slo_p95_ms)
        saves = watts_at(trim, most_rps) <= watts_at(above, most_rps) * (1.0 - LEAST_SAVING)
        if f"{point.name}/{trim.name}" in question.barred or not saves or trim.idle_watts > above.idle_watts:
            continue
        if 0.0 < most_rps < min(rungs[0][0], usable_rps(point, slo_p95_ms)):
            rungs.insert(0, (most_rps, trim))
            above = trim
    return rungs


def _broken(question: Question) -> bool:
    load = question.load
    return load is not None and load.p95_ms is not None and load.p95_ms > question.policy.slo_p95_ms


def _demand(question: Question, decision: Decision, was: Trimming) -> float | None:
    """Requests/s that a trim has to carry; None where there is to be none."""
    state, load = question.state, question.load
    if load is None or load.interval_s > LONGEST_LOOK_S:
        return None
    if decision.rule in UNTRIMMED or _broken(question):
        return None
    if was.not_before_s is not None and question.now_s < was.not_before_s:
        return None
    if any(find(question.board, lease.point) for lease in question.leases):
        return None
    last = int(question.now_s // MINUTE_S) - 1
    recent = telling([one for one in state.minutes if one.minute >= last])
    busiest = max([load.rps, *(one.rps for one in recent)])
    return covered(busiest, state, question.policy)


def _follow(rungs: Rungs, was: Trimming, demand_rps: float, question: Question) -> Trimming:
    """Up at once; down when less has sufficed for HOLD_S, to what would have sufficed all that time."""
    here = next((rung for rung in rungs if rung[1] and rung[1].name == was.trim), rungs[-1])
    needed = _carrying(rungs, demand_rps)
    if needed[0] > here[0]:
        return _at(was, needed[1])
    roomy = 1.0 + question.policy.hysteresis
    if _carrying(rungs, demand_rps * roomy)[0] >= here[0]:
        return _at(was, here[1])
    since_s = question.now_s if was.since_s is None else was.since_s
    most_rps = demand_rps if was.since_s is None else max(was.most_rps, demand_rps)
    if question.now_s - since_s < HOLD_S:
        return msgspec.structs.replace(_at(was, here[1]), since_s=since_s, most_rps=most_rps)
    return _at(was, _carrying(rungs, most_rps * roomy)[1])


def _at(was: Trimming, trim: Trim | None) -> Trimming:
    return Trimming(point=was.point, trim=trim.name if trim else None, not_before_s=was.not_before_s)


def _carrying(rungs: Rungs, rps: float) -> tuple[float, Trim | None]:
    return next((rung for rung in rungs if rung[0] >= rps), rungs[-1])

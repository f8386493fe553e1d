"""The rules of a decision, each a small function, in the order of their precedence.

1. `modes`: what the policy allows and the board takes. Nothing below goes beyond it.
2. `over_current`, `temperature`: the hardware's own limits.
3. `watts_budget`: the site's supply.
4. `battery_floor`: what is left to live on.
5. `lease`: what an application asked for, within the limits above.

Each is given what the ones before it left and never leaves nothing: where every point breaks its limit
it keeps the one that draws least, and says so. These act at once, whatever the dwell. Of what they leave,
`choice.py` takes the point for the demand (the SLO, whose spent budget raises the headroom), and the
RESTRAINTS, in their order, may hold back a switch that would only save; never a step up that is needed.
"""

import msgspec

from tidewatt_governor.leases import at_or_above
from tidewatt_governor.policy import allowed
from tidewatt_governor.rules.asking import Answer, Binding, Points, Question, Rule
from tidewatt_governor.rules.battery_floor import battery_floor, note_battery
from tidewatt_governor.rules.over_current import note_over_current, over_current
from tidewatt_governor.rules.restraints import RESTRAINTS
from tidewatt_governor.rules.slo_budget import note_violations
from tidewatt_governor.rules.temperature import note_temperature, temperature
from tidewatt_governor.rules.watts_budget import note_watts, watts_budget
from tidewatt_governor.state import Decision, GovernorState

__all__ = ["RESTRAINTS", "RULES", "Limits", "Points", "Question", "limit", "note"]


def modes(question: Question, points: Points) -> Answer:
    """The points that the policy allows without those that the board doesn't take; the only empty answer."""
    kept = [point for point in allowed(points, question.policy) if point.name not in question.barred]
    return kept, None  # the decision's own sentence says when it leaves one of these


def lease(question: Question, points: Points) -> Answer:
    """The points that hold every floor, as far as there are any."""
    kept, floor = at_or_above(points, question.leases, question.board, question.policy.slo_p95_ms)
    return kept, f"{floor.reason!r} holds {floor.point} or more" if floor else None


RULES: tuple[Rule, ...] = (modes, over_current, temperature, watts_budget, battery_floor, lease)


class Limits(msgspec.Struct, frozen=True):
    """The points that `modes` offers, the ones that all rules leave, and the rules between."""

    offered: Points
    left: Points
    bindings: tuple[Binding, ...] = ()

    def named(self, decision: Decision, wanted: str, here: str) -> Decision:
        """The decision with the rule that bound: the first that left out what was wanted, or where we are."""
        for point in (wanted, here):
            for binding in self.bindings:
                if point in binding.left_out and point != decision.point:
                    reason = f"{decision.reason}; {binding.clause}"
                    return msgspec.structs.replace(decision, rule=binding.rule, reason=reason)
        return decision


def limit(question: Question) -> Limits:
    """What every rule leaves, in their order; nothing where `modes` leaves nothing."""
    offered = points = modes(question, list(question.board))[0]
    bindings = []
    for rule in RULES[1:] if offered else ():
        kept, clause = rule(question, points)
        if clause:
            left_out = frozenset(point.name for point in points if point not in kept)
            bindings.append(Binding(rule.__name__, left_out, clause))
        points = kept
    return Limits(offered, points, tuple(bindings))


def note(question: Question) -> GovernorState:
    """The state with what this moment's situation adds to each rule's memory."""
    return msgspec.structs.replace(
        question.state,
        hours=note_violations(question),
        heat=note_temperature(question),
        surges=note_over_current(question),
        draw=note_watts(question),
        on_reserve=note_battery(question),
    )

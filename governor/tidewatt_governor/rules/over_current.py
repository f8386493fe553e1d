"""Over-current: a point at which the SoC throttles too often by itself isn't worth its watts.

Rates come a window late, so events are laid to the stronger of where the board stands and where it
stood until just now.
"""

import msgspec

from tidewatt_governor.points import find, full_watts
from tidewatt_governor.rules.asking import Answer, Points, Question, below
from tidewatt_governor.state import MINUTE_S, Cut, Surges
from tidewatt_wire.messages import OperatingPoint

#: A rate is of the window before the present one, a minute each: so long it may be of the point before.
LATE_S = 120.0
#: Left out for this long; twice as long each time it returns within as long again.
FIRST_HOLD_S = 600.0
LONGEST_HOLD_S = 6 * 3600.0


def over_current(question: Question, points: Points) -> Answer:
    """Without the points that were left out for their over-current events."""
    return below(question, points, question.state.surges.cut)


def note_over_current(question: Question) -> Surges:
    """What is left out, and until when."""
    surges, now_s = question.state.surges, question.now_s
    if not question.policy.max_over_current_per_min:
        return Surges()
    if surges.cut and now_s >= surges.until_s:
        surges = msgspec.structs.replace(surges, cut=None)
    why, culprit = _beyond(question), _culprit(question)
    held = find(question.board, surges.cut.point) if surges.cut else None
    if why is None or culprit is None or (held and full_watts(culprit) >= full_watts(held)):
        return surges
    again = surges.hold_s > 0.0 and now_s < surges.until_s + surges.hold_s
    hold_s = min(2.0 * surges.hold_s, LONGEST_HOLD_S) if again else FIRST_HOLD_S
    cut = Cut(point=culprit.name, at_s=now_s, why=f"{why}, for {hold_s / MINUTE_S:.0f} min")
    return Surges(cut=cut, until_s=now_s + hold_s, hold_s=hold_s)


def _beyond(question: Question) -> str | None:
    """The channel beyond its limit, in words; a channel that isn't counted is beyond none."""
    for channel, most in question.policy.max_over_current_per_min.items():
        per_min = question.situation.over_current.get(channel, 0.0) * MINUTE_S
        if per_min > most:
            return f"{channel} throttled {per_min:.0f} times/min of {most:g} allowed"
    return None


def _culprit(question: Question) -> OperatingPoint | None:
    state, here = question.state, question.here
    before = find(question.board, state.came_from) if state.came_from else None
    if here and before and question.now_s - state.since_s < LATE_S:
        return max(here, before, key=full_watts)
    return here

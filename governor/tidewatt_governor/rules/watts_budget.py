"""The watts budget: this device's share of its site's, held by the power that is measured.

A point's expected watts are its model's at the present rate, times what was measured over what was
modelled: at that point if it was stood at within the hour, else at the present one.
"""

import math

import msgspec

from tidewatt_governor.points import watts_at
from tidewatt_governor.rules.asking import STALE_S, Answer, Points, Question, leave_out
from tidewatt_governor.state import HOUR_S, Draw, Ratio
from tidewatt_wire.messages import OperatingPoint

#: Watts and rate are running means over about this long; single seconds are mostly chance.
MEAN_S = 30.0
#: For so long after a switch a reading belongs to both points.
SETTLE_S = 10.0
#: A model that is wrong by more than this is no measure of another point.
LEAST_RATIO, MOST_RATIO = 0.25, 4.0
#: Let in again when this share below the budget, for so long.
RELEASE_SHARE = 0.05
RELEASE_S = 300.0


def watts_budget(question: Question, points: Points) -> Answer:
    """Without the points that draw more than the budget."""
    draw, budget = question.state.draw, question.policy.watts_budget
    if budget is None or not draw.left_out:
        return points, None
    why = f"{draw.watts:.1f} W measured at {draw.point}, budget {budget:g} W"
    kept = [point for point in points if point.name not in draw.left_out]
    return leave_out(points, kept, why)


def note_watts(question: Question) -> Draw:
    """The mean draw, and which points are beyond the budget by it."""
    draw, budget = question.state.draw, question.policy.watts_budget
    if budget is None:
        return Draw()
    draw = _mean(question, draw)
    if draw.point is None or question.now_s - draw.at_s > STALE_S:
        return Draw()
    left_out = {}
    for point in question.board:
        watts = expected_watts(draw, point, question.now_s)
        since_s = draw.left_out.get(point.name)
        if watts > budget or (since_s is not None and watts > budget * (1.0 - RELEASE_SHARE)):
            left_out[point.name] = question.now_s
        elif since_s is not None and question.now_s - since_s < RELEASE_S:
            left_out[point.name] = since_s
    return msgspec.structs.replace(draw, left_out=left_out)


def expected_watts(draw: Draw, point: OperatingPoint, now_s: float) -> float:
    """What `point` would draw at the present rate, in watts, by what was measured."""
    if point.name == draw.point:
        return draw.watts
    own, present = draw.ratios.get(point.name), draw.ratios.get(draw.point or "")
    ratio = own if own and now_s - own.at_s < HOUR_S else present
    return (ratio.value if ratio else 1.0) * watts_at(point, draw.rps)


def _mean(question: Question, draw: Draw) -> Draw:
    watts, here, now_s = question.situation.watts, question.here, question.now_s
    if watts is None or here is None:
        return draw
    # Without a rate the model is asked for full load: what was measured then scales all points alike.
    rps = question.load.rps if question.load else draw.rps if draw.point else math.inf
    if here.name == draw.point and math.isfinite(draw.rps):
        share = 1.0 - math.exp(-max(0.0, now_s - draw.at_s) / MEAN_S)
        watts = draw.watts + share * (watts - draw.watts)
        rps = draw.rps + share * (rps - draw.rps)
    elif here.name != draw.point and now_s - question.state.since_s < SETTLE_S:
        return draw
    elif draw.point is not None and math.isfinite(draw.rps):
        # The mean begins at what was expected of this point, not at one reading.
        watts, rps = expected_watts(draw, here, now_s), draw.rps
    trims = (trim for trim in here.trims if trim.name == question.situation.trim)
    modelled = watts_at(next(trims, here), rps)
    ratio = min(max(watts / modelled, LEAST_RATIO), MOST_RATIO) if modelled > 0.0 else 1.0
    names = {point.name for point in question.board}
    ratios = {name: one for name, one in draw.ratios.items() if name in names}
    ratios[here.name] = Ratio(ratio, now_s)
    return msgspec.structs.replace(draw, point=here.name, at_s=now_s, watts=watts, rps=rps, ratios=ratios)

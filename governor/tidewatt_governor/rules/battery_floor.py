"""The battery floor: below it the charge is worth more than the promise."""

from tidewatt_governor.points import cheapest, full_watts, watts_at
from tidewatt_governor.rules.asking import Answer, Points, Question, leave_out
from tidewatt_governor.state import telling

#: The floor is left behind when the charge is this share above it.
RECOVERED = 0.05
#: Points this close to the least watts are as efficient, and the present one a little longer:
#: where two points' watts cross, chance must not send the board to and fro.
AS_EFFICIENT, STILL_EFFICIENT = 1.03, 1.06


def battery_floor(question: Question, points: Points) -> Answer:
    """On reserve no point above the one that draws least at the present load, whatever was promised."""
    charge, floor = question.situation.battery, question.policy.battery_floor
    if not question.state.on_reserve or charge is None or floor is None:
        return points, None
    minutes = telling(question.state.minutes)
    rps = minutes[-1].rps if minutes else 0.0
    least_w = watts_at(cheapest(points, rps), rps)
    good = [
        point
        for point in points
        if watts_at(point, rps)
        <= least_w * (STILL_EFFICIENT if point.name == question.state.point else AS_EFFICIENT)
    ]
    most_w = max(map(full_watts, good))
    kept = [point for point in points if full_watts(point) <= most_w]
    return leave_out(
        points, kept, f"battery {charge:.0%}, floor {floor:.0%}: the charge comes before the SLO"
    )


def note_battery(question: Question) -> bool:
    """Whether the board is on reserve. A charge that isn't known is not an empty battery."""
    charge, floor = question.situation.battery, question.policy.battery_floor
    if charge is None or floor is None:
        return False
    return charge < floor or (question.state.on_reserve and charge < min(1.0, floor + RECOVERED))

"""Temperature: derate before the hardware throttles, by where the junction is going.

The hardware's way (halved clocks) costs half the capacity at once and shows in no reading; a lower
point costs what is needed. The straight line through two minutes of readings overestimates how far a
board that warms up will go, so it counts only near the limit.
"""

from collections.abc import Sequence

import msgspec

from tidewatt_governor.points import find, full_watts
from tidewatt_governor.rules.asking import STALE_S, Answer, Points, Question, below
from tidewatt_governor.state import Cut, Heat
from tidewatt_wire.messages import OperatingPoint

#: Readings are this far apart, over this long, and a slope takes so much of it: 1 degree of noise
#: then is never taken for a board that reaches the limit from where it was let go.
SPACING_S = 5.0
WINDOW_S = 120.0
SHORTEST_SLOPE_S = 40.0
FEWEST_READINGS = 3
#: The limit is near in this many degrees, and reached in time when sooner than this.
NEAR_C = 10.0
LEAD_S = 90.0
#: A step down shows in the slope after this long; until then there is no further one.
STEP_S = 45.0
#: Falling at least this fast (degrees C per second), a board that was derated is left to cool.
FALLING = -0.5 / 60.0
#: Cool is this far below the limit, for so long: longer each time that it became hot again within an hour.
RELEASE_C = 8.0
FIRST_WAIT_S = 120.0
LONGEST_WAIT_S = 3600.0
FORGET_S = 3600.0


def temperature(question: Question, points: Points) -> Answer:
    """Without the points that were left out for the heat."""
    return below(question, points, question.state.heat.cut)


def note_temperature(question: Question) -> Heat:
    """The readings so far, and what is left out for them."""
    heat, limit, celsius = question.state.heat, question.policy.derate_at_c, question.situation.temperature_c
    if limit is None:
        return Heat()
    if celsius is None:
        gone = heat.seen_s is None or question.now_s - heat.seen_s > STALE_S
        return Heat() if gone else heat
    heat = _read(heat, celsius, question.state.since_s, question.now_s)
    why = _too_hot(heat, celsius, limit, question.now_s)
    if why and (cut := _one_down(question, heat.cut, why)):
        return msgspec.structs.replace(heat, cut=cut, cool_since_s=None, wait_s=_wait_s(heat, question.now_s))
    return _cool(heat, celsius, limit, question)


def slope(readings: Sequence[tuple[float, float]]) -> float | None:
    """Degrees C per second by least squares; None where the readings are too few or too close together."""
    if len(readings) < FEWEST_READINGS or readings[-1][0] - readings[0][0] < SHORTEST_SLOPE_S:
        return None
    mean_s = sum(at_s for at_s, _ in readings) / len(readings)
    mean_c = sum(celsius for _, celsius in readings) / len(readings)
    across = sum((at_s - mean_s) * (celsius - mean_c) for at_s, celsius in readings)
    return across / sum((at_s - mean_s) ** 2 for at_s, _ in readings)


def _read(heat: Heat, celsius: float, since_s: float, now_s: float) -> Heat:
    # Only since the last switch: what it did before says nothing of where it goes now.
    oldest_s = max(now_s - WINDOW_S, since_s)
    readings = tuple(one for one in heat.readings if one[0] >= oldest_s)
    if not readings or now_s - readings[-1][0] >= SPACING_S:
        readings = (*readings, (now_s, celsius))
    return msgspec.structs.replace(heat, readings=readings, seen_s=now_s)


def _too_hot(heat: Heat, celsius: float, limit: float, now_s: float) -> str | None:
    """Why a stronger point can't be kept, in words; None while it can."""
    rising = slope(heat.readings)
    if heat.cut and (now_s - heat.cut.at_s < STEP_S or (rising is not None and rising < FALLING)):
        return None
    if celsius >= limit:
        return f"junction {celsius:.1f} C is past {limit:g} C"
    if rising is None or rising <= 0.0 or celsius < limit - NEAR_C:
        return None
    left_s = (limit - celsius) / rising
    if left_s >= LEAD_S:
        return None
    return f"junction {celsius:.1f} C rising {rising * 60.0:.1f} C/min reaches {limit:g} C in {left_s:.0f} s"


def _one_down(question: Question, cut: Cut | None, why: str) -> Cut | None:
    """Where the board stands and all that draws more is left out; None where it is already."""
    here = question.here
    before = find(question.board, cut.point) if cut else None
    if here is None or (before and full_watts(here) >= full_watts(before)):
        return None
    return Cut(point=here.name, at_s=question.now_s, why=why)


def _wait_s(heat: Heat, now_s: float) -> float:
    """How long it must be cool this time: longer when what was let in again soon made it hot again."""
    if heat.cut and (heat.released_s is None or heat.released_s < heat.cut.at_s):
        return heat.wait_s  # a further step down of the same time
    if heat.released_s is None or now_s - heat.released_s >= FORGET_S:
        return FIRST_WAIT_S
    return min(2.0 * heat.wait_s, LONGEST_WAIT_S)


def _cool(heat: Heat, celsius: float, limit: float, question: Question) -> Heat:
    now_s = question.now_s
    if heat.cut is None:
        return heat
    if celsius > limit - RELEASE_C:
        return msgspec.structs.replace(heat, cool_since_s=None)
    if heat.cool_since_s is None:
        return msgspec.structs.replace(heat, cool_since_s=now_s)
    if now_s - heat.cool_since_s < heat.wait_s:
        return heat
    above = one_up(question.board, heat.cut.point)
    cut = msgspec.structs.replace(heat.cut, point=above.name) if above else None
    return msgspec.structs.replace(heat, cut=cut, cool_since_s=now_s, released_s=now_s)


def one_up(board: Sequence[OperatingPoint], name: str) -> OperatingPoint | None:
    """The point that draws least of those that draw more at full load; None above the strongest."""
    point = find(board, name)
    more = [one for one in board if point and full_watts(one) > full_watts(point)]
    return min(more, key=full_watts, default=None)

"""An amount that comes on some days only, compared with the days on which it comes. Pure.

A backup of every third day falls on any weekday, and on most of its Wednesdays nothing was spent: beside
those it would be an anomaly each time. Where its days follow a beat, a day beside the beat is still
compared with nothing.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from tidewatt_coordinator.costs.series import Days

#: Days before the one that is judged in which a beat is looked for.
LOOK_BACK = 91
LONGEST = 30
#: A beat is one if it fits so many times its length, and misses at most one in so many of its days twice.
TURNS, MISSES = 2, 5
#: Without a beat, an amount that came so often is one that comes now and then.
ENOUGH_TIMES = 3


def usual(days: Days, day: date) -> tuple[list[Decimal], str] | None:
    """What was spent on days like this one when anything was, and which days these are; None: on days like
    this nothing is expected, or it came too seldom to say.
    """
    known = [one for one in days if timedelta(0) < day - one <= timedelta(days=LOOK_BACK)]
    comes = [one for one in known if days[one] > 0]
    if period := _period(days, known, len(comes)):
        beats = [one for one in comes if (day - one).days % period == 0]
        if day - timedelta(days=period) not in beats:
            return None
        return [days[one] for one in beats], f"{len(beats)} days, one in {period}"
    monthly = [one for one in comes if one.day == day.day]
    if len(monthly) > 1:
        return [days[one] for one in monthly], f"the {day.day}. of {len(monthly)} months"
    if len(comes) >= ENOUGH_TIMES:
        return [days[one] for one in comes], f"the {len(comes)} days on which it came"
    return None


def _period(days: Days, known: Sequence[date], times: int) -> int | None:
    """After how many days it comes again; None if there is no telling."""
    least: tuple[int, int] | None = None
    for period in range(2, LONGEST + 1):
        before = ((one, one - timedelta(days=period)) for one in known)
        pairs = [(one, other) for one, other in before if other in days]
        misses = sum((days[one] > 0) != (days[other] > 0) for one, other in pairs)
        if len(pairs) >= TURNS * period and misses * MISSES <= times:
            least = min(least or (misses, period), (misses, period))
    return least[1] if least else None

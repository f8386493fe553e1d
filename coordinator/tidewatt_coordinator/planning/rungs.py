"""What a plan would ask for, had it been made by what devices have seen since. Pure.

A rung is a choice and the fleet's rate in the minute before up to which it carries the need. Rungs rise:
with the rate none gives less capacity. A device's part of them is a few rates of its own, each with a point.
"""

import math
from collections.abc import Callable, Sequence

import msgspec

from tidewatt_coordinator.planning.envelopes import Option
from tidewatt_coordinator.planning.fresh import Fresh
from tidewatt_governor.hints import Enough

#: Rungs of a plan at the most, and how far they are apart, as a share of the first one's need.
MOST_RUNGS, LEAST_STEP = 24, 0.005


class Rung(msgspec.Struct, frozen=True):
    """An option for each device, enough after a minute of `most_rps` of the whole fleet at most."""

    most_rps: float
    options: list[Option]


def rungs_of(meet: Callable[[float], list[Option]], fresh: Fresh, floor_rps: float) -> list[Rung]:
    """From the cheapest choice that may do to the dearest that may be needed. `meet` chooses for a need.

    `floor_rps`: no rung carries less.
    """
    rungs: list[Rung] = []
    need, most = max(fresh.need(fresh.least_rps), floor_rps), fresh.need(fresh.most_rps)
    step = LEAST_STEP * need
    while len(rungs) < MOST_RUNGS:
        options = meet(need)
        capacity = sum(one.rps for one in options)
        if capacity < need:
            # All that there is, whatever comes.
            return [*rungs, Rung(math.inf, options)]
        rungs.append(Rung(fresh.most(capacity), options))
        if capacity >= most:
            break
        need = capacity + step
    # Where the step is known to be over, a higher rate than was thought of stays: nothing less is sure to do.
    return [*rungs, Rung(math.inf, meet(math.inf))] if fresh.sure else rungs


def enough_of(rungs: Sequence[Rung], device: int, share: float) -> tuple[Enough, ...]:
    """The device's points by its own rate, never a lower one at a higher rate.

    `share`: its part of the fleet's requests in the minute before; without one its rate tells nothing.
    """
    rows: list[Enough] = []
    best: Option | None = None
    for rung in rungs if share > 0.0 else ():
        here = rung.options[device]
        if best is None or here.envelope.usable_rps > best.envelope.usable_rps:
            best = here
        if rows and rows[-1].point == best.envelope.point:
            rows.pop()
        rows.append(Enough(rung.most_rps * share, best.envelope.point))
    return tuple(rows)

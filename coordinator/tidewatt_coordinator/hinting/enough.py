"""What is enough by a board's own rate, as it is told; and when a change of it is worth a message. Pure.

Rates from which more is asked move a little each minute. What a board was told stands as long as, at every
rate that it may see, what is asked now is what it was told at a rate next to it: fewer messages, and one that
would let it stand too low is sent sooner than one that would save a little.
"""

import math
from collections.abc import Iterable

import msgspec

from tidewatt_governor.hints import Enough
from tidewatt_wire.planned import EnoughAt, PlanHint

#: A rate from which more is asked may be so much lower than was told, or higher, before it is told anew.
LOWER, HIGHER = 0.02, 0.06
#: A board hardly ever sees less or more than these shares of what is expected of it.
LEAST, MOST = 0.8, 1.25
HAIR = 1e-9


def told(
    rows: Iterable[Enough], planned_share: float, seen_share: float | None
) -> list[EnoughAt] | msgspec.UnsetType:
    """As the wire has it; a row for no rate at all is left out.

    Rows are by the share that was planned. A board that was seen with less of the fleet's requests, as the
    dispatch table has reasons of its own, would take them for too many; with more it is asked for more.
    """
    if seen_share is None or planned_share <= 0.0:
        return msgspec.UNSET
    by = min(1.0, seen_share / planned_share)
    found = [
        EnoughAt(most_rps=one.most_rps * by if math.isfinite(one.most_rps) else None, point=one.point)
        for one in rows
        if one.most_rps >= 0.0
    ]
    return found or msgspec.UNSET


def stands(was: PlanHint, now: PlanHint, rps: float | None) -> bool:
    """Whether what a board was told of what is enough still does. `rps`: what it is expected to see."""
    if was.enough == now.enough:
        return True
    # Between these what is asked does not change, but for the tolerance itself.
    edges = {one.most_rps for one in (*(was.enough or ()), *(now.enough or ())) if one.most_rps is not None}
    edges |= {edge * by for edge in edges for by in (1.0 - LOWER, 1.0 / (1.0 + LOWER), 1.0 + HIGHER)}
    probes = {edge * by for edge in edges for by in (1.0 - HAIR, 1.0 + HAIR)} | {rps or 0.0}
    if rps is not None:
        probes = {one for one in probes if LEAST * rps <= one <= MOST * rps}
    return all(_beside(was, now, probe) for probe in probes)


def _beside(was: PlanHint, now: PlanHint, rps: float) -> bool:
    asked = _asked(now, rps)
    return asked in {_asked(was, rps * by) for by in (1.0 / (1.0 + HIGHER), 1.0, 1.0 + LOWER)}


def _asked(hint: PlanHint, rps: float) -> str:
    return next(
        (one.point for one in hint.enough or () if one.most_rps is None or rps <= one.most_rps), hint.point
    )

"""One of the boards under its governor, minute by minute. Pure.

The same decision as on a device, without a forecaster: the reactive rule. Minute i is decided on by minutes
up to i - 1; a switch serves nothing for its pause.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidewatt_coordinator.dispatch.pool import Floats
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.decide import GovernorState, decide, moved
from tidewatt_governor.points import FULL, p95_at, strongest, watts_at
from tidewatt_governor.policy import allowed
from tidewatt_governor.sample import Load
from tidewatt_governor.simulate.board import FLOOR_SHARE, LN20
from tidewatt_governor.simulate.minutes import MINUTE_S, MinuteBoard, Rules
from tidewatt_wire.messages import OperatingPoint, Policy


class Stood(msgspec.Struct, frozen=True):
    """(T,) by minute, of one board."""

    energy_j: Floats
    capacity_rps: Floats
    floor_s: Floats
    """No request is quicker;"""
    mean_s: Floats
    """beyond that waits are exponential with this mean."""
    switches: int


def stood(profile: BoardProfile, policy: Policy, rps: Floats) -> Stood:
    """What a board comes to that is asked for `rps` (T,) requests/s."""
    point_of, switches = _points(profile, policy, rps.tolist())
    out = np.zeros((4, len(rps)))
    for index, point in enumerate(profile.points):
        here = point_of == index
        if np.any(here):
            out[:, here] = np.array([_minute(point, float(rate)) for rate in rps[here]]).T
    return Stood(out[0], out[1], out[2], out[3], switches)


def _minute(point: OperatingPoint, rps: float) -> tuple[float, float, float, float]:
    p95_s = p95_at(point, min(rps, point.capacity_rps * (FULL - 0.005))) / 1000.0
    floor_s = FLOOR_SHARE * point.light_p95_ms / 1000.0
    return watts_at(point, rps) * MINUTE_S, point.capacity_rps, floor_s, (p95_s - floor_s) / LN20


def _points(profile: BoardProfile, policy: Policy, rps: list[float]) -> tuple[NDArray[np.int64], int]:
    """(T,) the point of each minute as its place in the profile, and how often it was switched."""
    place = {point.name: index for index, point in enumerate(profile.points)}
    left = allowed(profile.points, policy)
    start = strongest(left, policy.slo_p95_ms)
    if len(left) == 1:
        return np.full(len(rps), place[start.name]), 0
    board = MinuteBoard(Rules(profile=profile, slo_p95_ms=policy.slo_p95_ms), start.name)
    state = GovernorState(point=start.name, since_s=-MINUTE_S * 10)
    found = np.zeros(len(rps), dtype=np.int64)
    wanted = start.name
    for minute, rate in enumerate(rps):
        if minute:
            now_s = minute * MINUTE_S - 0.5
            load = Load(requests=round(rps[minute - 1] * MINUTE_S), interval_s=MINUTE_S)
            state, decision = decide(state, load, policy, profile.points, profile.vendor_default, now_s)
            wanted = decision.point
        board.minute(wanted, rate)
        state = moved(state, board.point.name, minute * MINUTE_S - 0.5)
        found[minute] = place[board.point.name]
    return found, board.run.switches

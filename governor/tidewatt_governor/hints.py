"""Hints: the fleet's planner asks a device to stand at a point at least, for a while. Pure.

A hint can only raise a board: traffic is on its way that the device can't see yet. Sinking stays with the
device's own reactive rule, which sees what really comes; a hint of less simply raises nothing.

The planner's view is a report older than the device's own. So a hint also says how the plan would be with
what the device has seen since: up to which rate of its own a lower point is enough.
"""

from collections.abc import Sequence

import msgspec

from tidewatt_governor.points import find
from tidewatt_governor.state import MINUTE_S
from tidewatt_wire.messages import OperatingPoint, Policy

#: A device that served this share of what it can was held to it, maybe: what it was meant for it can't tell.
BRIMFUL = 0.96


class Enough(msgspec.Struct, frozen=True):
    """While the device's own rate was at most `most_rps` in the last minute, `point` carries the plan."""

    most_rps: float
    point: str


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """Stand at `point` or above it until `until_s` (monotonic seconds), as `reason` says."""

    point: str
    until_s: float
    reason: str
    guarded: bool = False
    """Whether the fleet's plan has the margin for what may come: see `under`."""
    enough: tuple[Enough, ...] = ()
    """By rising rate. Of one above them all `point` is asked."""


def under(policy: Policy, hint: Hint | None, points: Sequence[OperatingPoint], now_s: float) -> Policy | None:
    """The policy while a guarded hint for one of `points` stands; None where the board's own holds as it is.

    The reactive rule stays, with its headroom, on the last minute: what has come is answered here, what may
    come is the plan's. Without a hint, or one that the limits let nobody follow, nobody else has that margin.
    """
    if hint is None or not hint.guarded or now_s >= hint.until_s or find(points, hint.point) is None:
        return None
    window_s = min(policy.demand_window_s, MINUTE_S)
    return msgspec.structs.replace(policy, tail_quantile=None, demand_window_s=window_s)


def asked(hint: Hint, rps: float) -> str:
    """The point that is asked for, of a device that was asked for `rps` in the last minute."""
    return next((one.point for one in hint.enough if rps <= one.most_rps), hint.point)

"""Modes that only a reboot can bring: when the policy demands one, and when it may be. Pure."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from tidewatt_governor.points import strongest
from tidewatt_governor.policy import allowed
from tidewatt_wire.messages import MaintenanceWindow, OperatingPoint, Policy

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def is_open(window: MaintenanceWindow, local: datetime) -> bool:
    """Whether `local`, a time in the window's zone, lies in it; past midnight it still is its first day's."""
    hour, minute = window.start.split(":")
    for begins_on in (local, local - timedelta(days=1)):
        begins = begins_on.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
        named = window.days is None or DAYS[begins.weekday()] in window.days
        if named and begins <= local < begins + timedelta(minutes=window.minutes):
            return True
    return False


def only_by_reboot(board: Sequence[OperatingPoint], policy: Policy, barred: Collection[str]) -> str | None:
    """The point to reboot into, if every point that the policy allows needs that; else None.

    `barred`: the points that the board refused for want of a reboot. Of several the strongest is
    taken, as going from one to the other would be the next reboot.
    """
    points = allowed(board, policy)
    if any(point.name not in barred for point in points):
        return None
    return strongest(points, policy.slo_p95_ms).name

"""Whether a rollout's maintenance window is open, by the time zone database of this machine."""

from datetime import datetime, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidewatt_governor.maintenance import is_open
from tidewatt_wire.messages import MaintenanceWindow


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo | None:
    """The zone of that name; None if it isn't known here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def open_now(window: MaintenanceWindow | None, now_ms: int) -> bool:
    """Whether waves may be reached now. No window: always; one in an unknown zone: never."""
    if window is None:
        return True
    zone = zone_of(window.zone)
    moment = datetime.fromtimestamp(now_ms / 1000, timezone.utc)
    return zone is not None and is_open(window, moment.astimezone(zone))

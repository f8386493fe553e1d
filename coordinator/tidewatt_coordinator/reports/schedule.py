"""When which month's report is due. Pure."""

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from tidewatt_coordinator.reports.settings import Reports


def due(settings: Reports, now_ms: int) -> date | None:
    """The first day of the month whose report is due now, sent or not; None: it is too early for one.

    It is always the month before the present one, by the clock of the configured zone: who was down
    for longer sends no report that nobody waits for any more.
    """
    local = datetime.fromtimestamp(now_ms / 1000, timezone.utc).astimezone(ZoneInfo(settings.zone))
    # By the clock on the wall: an hour that summer time leaves out is over when the next one begins.
    if (local.day, local.hour) < (settings.day, settings.hour):
        return None
    return (local.date().replace(day=1) - timedelta(days=1)).replace(day=1)

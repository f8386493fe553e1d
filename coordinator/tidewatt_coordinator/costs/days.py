"""Days, hours and months of UTC, in which clouds bill."""

import re
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

import msgspec

from tidewatt_coordinator.costs.charge import CostError, check_period

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?)? ?(Z|UTC|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)


class Window(msgspec.Struct, frozen=True):
    """A stretch of time: from `start_ms`, included, to `end_ms`, excluded."""

    start_ms: int
    end_ms: int


def unix_ms(at: datetime) -> int:
    """Milliseconds since 1970 of a time that knows its zone."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def day_ms(day: date) -> int:
    """The beginning of a day of UTC."""
    return (day - _EPOCH.date()).days * DAY_MS


def day_of(ms: int) -> date:
    """The day of UTC in which a time lies."""
    return _EPOCH.date() + timedelta(days=ms // DAY_MS)


def iso(ms: int) -> str:
    """A time as FOCUS and OpenCost write it, in whole seconds: 2026-10-01T00:00:00Z."""
    return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str, where: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time; without a zone it is UTC. CostError if it is none."""
    found = _time(text.strip())
    if found is None:
        raise CostError(f"{where}: {text[:40]!r} is no time such as 2026-10-01T00:00:00Z")
    return found


@lru_cache(maxsize=4096)  # a month of hours has few times, and a file of it millions of rows
def _time(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{clock or '00:00'}").replace(tzinfo=_zone(zone))
        return unix_ms(at) + int((fraction or "0").ljust(3, "0")[:3])
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text in (None, "Z", "UTC"):
        return timezone.utc
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or "0"))
    return timezone(-offset if text[0] == "-" else offset)


def parse_day(text: str, where: str) -> date:
    """A day such as 2026-10-01; CostError if it is none."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise CostError(f"{where}: {text[:40]!r} is no day such as 2026-10-01") from error


#: Of months that anybody asks for: Unix time's own first year, and what calendars can still count on from.
FIRST_YEAR, LAST_YEAR = 1971, 9000


def month(text: str, where: str) -> Window:
    """The month of UTC that is written 2026-10; CostError if it is none, or one that no bill can be of."""
    try:
        first = date.fromisoformat(f"{text.strip()}-01")
    except ValueError as error:
        raise CostError(f"{where}: {text[:40]!r} is no month such as 2026-10") from error
    if not FIRST_YEAR <= first.year <= LAST_YEAR:
        raise CostError(f"{where}: {text[:40]!r} is not in the years {FIRST_YEAR} to {LAST_YEAR}")
    following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return Window(day_ms(first), day_ms(following))


def window(begin: str, end: str, where: str) -> Window:
    """From a day, included, to a day, excluded; CostError unless they are days in this order."""
    found = Window(day_ms(parse_day(begin, where)), day_ms(parse_day(end, where)))
    check_period(found.start_ms, found.end_ms, f"{where} {begin} to {end}")
    return found

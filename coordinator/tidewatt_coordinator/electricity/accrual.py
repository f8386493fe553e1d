"""Fees and write-offs by the hour. Pure.

What has accrued by a moment is computed from the period's beginning each time, and an interval's part
is the difference of two such values. So the parts of a month add up to its fee, and those of a
device's life to its price less the residual, exactly, however the time is cut.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from tidewatt_coordinator.electricity.dayahead import midnight_ms
from tidewatt_coordinator.money import EXACT, share, total

MONTHS_PER_YEAR = 12


def accrued(amount: Decimal, period: tuple[int, int], from_ms: int, to_ms: int) -> Decimal:
    """What of a period's amount falls into [from_ms, to_ms); period and interval in ms UTC."""
    start, end = period
    low, high = (min(max(at, start), end) - start for at in (from_ms, to_ms))
    return EXACT.subtract(share(amount, high, end - start), share(amount, low, end - start))


def monthly(fee: Decimal, zone: ZoneInfo, from_ms: int, to_ms: int) -> Decimal:
    """What of a monthly fee falls into [from_ms, to_ms), by calendar months of a zone."""
    if not fee:
        return Decimal(0)
    return total([accrued(fee, month, from_ms, to_ms) for month in months(zone, from_ms, to_ms)])


def months(zone: ZoneInfo, from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
    """The calendar months that an interval touches: start and end in ms UTC."""
    first = datetime.fromtimestamp(from_ms / 1000, zone).date().replace(day=1)
    while midnight_ms(first, zone) < to_ms:
        following = (first + timedelta(days=31)).replace(day=1)
        yield midnight_ms(first, zone), midnight_ms(following, zone)
        first = following


@lru_cache(maxsize=1024)
def life_of(bought: date, life_months: int, zone: ZoneInfo) -> tuple[int, int]:
    """The period in which a device is written off, ms UTC; a month after 31 January is 28 or 29 February."""
    years, month = divmod(bought.month - 1 + life_months, MONTHS_PER_YEAR)
    year, month = bought.year + years, month + 1
    following = date(year + month // 12, month % 12 + 1, 1)
    last = (following - timedelta(days=1)).day
    return midnight_ms(bought, zone), midnight_ms(date(year, month, min(bought.day, last)), zone)

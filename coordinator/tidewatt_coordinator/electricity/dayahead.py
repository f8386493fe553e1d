"""Day-ahead prices in their two usual forms, as prices of quarter hours. Pure.

By moment, with an offset from UTC:            By local day, one column per step of the day:

    start,price_per_kwh                            day,prices
    2026-11-21T00:00+01:00,0.0912                  2026-11-21,0.0912,0.0874,...

A step is 15, 30 or 60 minutes. A day has as many prices as its hours have steps: 23, 24 or 25 hours.
A moment's price lasts until the next one's start, but for an hour at most.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import ZoneInfo

from tidewatt_coordinator.electricity.rates import HOUR_MS, QUARTER_MS

MOMENTS = ["start", "price_per_kwh"]
DAY_LISTS = ["day", "prices"]


class DayAheadError(ValueError):
    """What is wrong with a list of prices, and in which line."""


def parse_day_ahead(rows: Iterable[Sequence[str]], zone: ZoneInfo) -> dict[int, Decimal]:
    """Each quarter hour's price by its start in ms UTC, from a CSV's rows; DayAheadError names the line."""
    lines = [[cell.strip() for cell in row] for row in rows]
    if not lines or lines[0] not in (MOMENTS, DAY_LISTS):
        raise DayAheadError(f"line 1: the header is neither {','.join(MOMENTS)} nor {','.join(DAY_LISTS)}")
    starts: list[tuple[int, int, Decimal]] = []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cells):
            continue
        try:
            starts.extend(_moment(cells) if lines[0] == MOMENTS else _day(cells, zone))
        except DayAheadError as error:
            raise DayAheadError(f"line {number}: {error}") from error
        except (ValueError, InvalidOperation, OverflowError) as error:
            shown = ",".join(cells)[:40]
            raise DayAheadError(f"line {number}: {shown!r} is not a time with its price") from error
    return _quarters(sorted(starts))


def _moment(cells: Sequence[str]) -> list[tuple[int, int, Decimal]]:
    if len(cells) != len(MOMENTS):
        raise DayAheadError(f"needs {len(MOMENTS)} cells")
    at = datetime.fromisoformat(cells[0].replace("Z", "+00:00"))
    if at.tzinfo is None:
        raise DayAheadError(f"the start {cells[0]} has no offset from UTC")
    return [(_aligned(at), HOUR_MS, _price(cells[1]))]


def _day(cells: Sequence[str], zone: ZoneInfo) -> list[tuple[int, int, Decimal]]:
    day = date.fromisoformat(cells[0])
    prices = [_price(cell) for cell in cells[1:]]
    first = midnight_ms(day, zone)
    length = midnight_ms(day + timedelta(days=1), zone) - first
    fitting = [step for step in (QUARTER_MS, 2 * QUARTER_MS, HOUR_MS) if length == step * len(prices)]
    if not fitting:
        raise DayAheadError(
            f"a day of {length // HOUR_MS} hours has {length // HOUR_MS} prices, or twice or four times as "
            f"many, not {len(prices)}"
        )
    return [(first + index * fitting[0], fitting[0], price) for index, price in enumerate(prices)]


@lru_cache(maxsize=4096)
def midnight_ms(day: date, zone: ZoneInfo) -> int:
    """When a local day begins, ms UTC; where clocks skip midnight, at the first moment of the day."""
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def _aligned(at: datetime) -> int:
    start_ms = round(at.timestamp() * 1000)
    if start_ms % QUARTER_MS:
        raise DayAheadError(f"the start {at.isoformat()} is not on a quarter hour")
    return start_ms


def _price(text: str) -> Decimal:
    price = Decimal(text)
    if not price.is_finite():
        raise DayAheadError(f"the price {text} is not a number")
    return price


def _quarters(starts: Sequence[tuple[int, int, Decimal]]) -> dict[int, Decimal]:
    quarters: dict[int, Decimal] = {}
    for index, (start, lasts, price) in enumerate(starts):
        following = starts[index + 1][0] if index + 1 < len(starts) else start + lasts
        for quarter in range(start, min(start + lasts, max(following, start + QUARTER_MS)), QUARTER_MS):
            quarters[quarter] = price
    return quarters

"""A tariff's price at every moment, and what energy costs at it. Pure.

A moment in UTC has exactly one local time, so nothing is lost or doubled when clocks are changed:
the rates of any interval cover it without gap or overlap, a day of 23 or 25 hours included.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from tidewatt_coordinator.electricity.tariff import QUARTER_MINUTES, ElectricityTariff, Hours
from tidewatt_coordinator.money import EXACT, FINEST, total
from tidewatt_wire.units import MILLIJOULES_PER_KILOWATT_HOUR, MILLISECONDS_PER_MINUTE

QUARTER_MS = QUARTER_MINUTES * MILLISECONDS_PER_MINUTE
HOUR_MS = 4 * QUARTER_MS

BASE = "base"
DAY_AHEAD = "day ahead"


class Rate(msgspec.Struct, frozen=True):
    """One price from `start_ms` until before `end_ms`."""

    start_ms: int
    end_ms: int
    price_per_kwh: Decimal
    name: str
    """The window's, "base" or "day ahead"."""


class Clockwork:
    """A tariff at work: it remembers the quarter hours that were asked for last."""

    def __init__(self, tariff: ElectricityTariff, day_ahead: Mapping[int, Decimal] | None = None) -> None:
        """`day_ahead` gives the market's price per kWh by the start of each quarter hour, ms UTC."""
        self.tariff = tariff
        self.zone = ZoneInfo(tariff.zone)
        self._day_ahead = day_ahead or {}
        self._seasons = {season.name: season for season in tariff.season}
        self._hours: dict[int, tuple[Rate, ...]] = {}

    def rates(self, from_ms: int, to_ms: int) -> Iterator[Rate]:
        """The prices of an interval in order; neighbours differ."""
        held: Rate | None = None
        at = from_ms
        while at < to_ms:
            end = min(to_ms, at - at % QUARTER_MS + QUARTER_MS)
            price, name = self._at(at)
            if held is not None and (held.price_per_kwh, held.name) == (price, name):
                held = Rate(held.start_ms, end, price, name)
            else:
                if held is not None:
                    yield held
                held = Rate(at, end, price, name)
            at = end
        if held is not None:
            yield held

    def hour(self, hour_ms: int) -> tuple[Rate, ...]:
        """The prices of the hour that begins at `hour_ms`."""
        if hour_ms not in self._hours:
            if len(self._hours) > HOURS_HELD:
                self._hours.clear()
            self._hours[hour_ms] = tuple(self.rates(hour_ms, hour_ms + HOUR_MS))
        return self._hours[hour_ms]

    def holds(self, hours: Hours, at_ms: int) -> bool:
        """Whether a moment is in some hours of the tariff."""
        local = datetime.fromtimestamp(at_ms / 1000, self.zone)
        day = local.date()
        return hours.holds(
            day,
            local.hour * 60 + local.minute,
            holiday=self.tariff.is_holiday(day),
            season=self._seasons.get(hours.season),
        )

    def _at(self, at_ms: int) -> tuple[Decimal, str]:
        market = self._day_ahead.get(at_ms - at_ms % QUARTER_MS)
        if market is not None and self.tariff.day_ahead is not None:
            terms = self.tariff.day_ahead
            return EXACT.add(EXACT.multiply(market, terms.times), terms.add_per_kwh), DAY_AHEAD
        for number, window in enumerate(self.tariff.window, 1):
            if self.holds(window, at_ms):
                return window.price_per_kwh, window.name or f"window {number}"
        return self.tariff.price_per_kwh, BASE


#: Two weeks of hours: what a day's or a week's account asks for again and again.
HOURS_HELD = 336


def cost(energy_mj: int, rates: tuple[Rate, ...]) -> Decimal:
    """What energy costs that was used evenly over these rates' time, to the finest unit kept.

    The energy is split at the prices' bounds so that its parts sum to it exactly.
    """
    if not rates:
        return Decimal(0)
    start, length = rates[0].start_ms, rates[-1].end_ms - rates[0].start_ms
    parts, before = [], 0
    for rate in rates:
        until = energy_mj * (rate.end_ms - start) // length
        parts.append(EXACT.multiply(Decimal(until - before), rate.price_per_kwh))
        before = until
    return (total(parts) / MILLIJOULES_PER_KILOWATT_HOUR).quantize(FINEST)


def mean_price(rates: tuple[Rate, ...]) -> Decimal:
    """The price of one more kWh that is used evenly over these rates' time."""
    length = rates[-1].end_ms - rates[0].start_ms
    parts = [EXACT.multiply(rate.price_per_kwh, Decimal(rate.end_ms - rate.start_ms)) for rate in rates]
    return (total(parts) / length).quantize(FINEST)

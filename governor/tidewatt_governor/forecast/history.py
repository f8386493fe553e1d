"""The last week of minutes, from which a forecast is made. A gap stays a gap."""

import math
from array import array
from collections.abc import Sequence
from datetime import datetime

from tidewatt_governor.forecast.layout import AHEAD, LAGS, PAST

#: Minutes kept: what the longest lag needs.
KEPT = max(LAGS) + PAST + AHEAD
#: With fewer of the last 60 minutes known there is no forecast.
FEWEST_KNOWN = 45
SATURDAY = 5


class History:
    """Requests/s by minute, bounded; minutes count from any origin, and only ever go up."""

    def __init__(self) -> None:
        self._rates = array("d", [math.nan]) * KEPT
        self.last: int | None = None
        """The newest minute held."""

    def add(self, minute: int, rps: float | None) -> None:
        """Hold a minute's mean rate, None where it isn't known; a minute before the newest is left out."""
        if self.last is not None:
            if minute <= self.last:
                return
            for gap in range(max(self.last + 1, minute - KEPT), minute):
                self._rates[gap % KEPT] = math.nan
        self.last = minute
        known = rps is not None and math.isfinite(rps) and rps >= 0.0
        self._rates[minute % KEPT] = rps if known and rps is not None else math.nan

    def rate(self, minute: int) -> float:
        """The rate of a minute; NaN where it isn't known, any more or yet."""
        if self.last is None or minute > self.last or minute <= self.last - KEPT:
            return math.nan
        return self._rates[minute % KEPT]

    def ready(self) -> str | None:
        """Why there can be no forecast now; None where there can."""
        if self.last is None or math.isnan(self.rate(self.last)):
            return "the last minute is not known"
        known = sum(not math.isnan(self.rate(self.last - back)) for back in range(PAST))
        if known < FEWEST_KNOWN:
            return f"{known} of the last {PAST} minutes are known, {FEWEST_KNOWN} are needed"
        return None

    def rows(self, lags: Sequence[int] = LAGS) -> list[list[float]]:
        """The model's `minutes`, [1 + lags][75], for a forecast from the newest minute."""
        last = self.last or 0
        return [
            [self.rate(last - lag + offset) for offset in range(1 - PAST, AHEAD + 1)] for lag in (0, *lags)
        ]

    def rates(self) -> list[float]:
        """All that is held up to the newest minute, oldest first, NaN where not known: for a restart."""
        if self.last is None:
            return []
        return [self.rate(minute) for minute in range(self.last - KEPT + 1, self.last + 1)]


def calendar_row(local: datetime) -> list[float]:
    """The model's `calendar` for the last known minute, as it is where the users live."""
    weekday = local.weekday()
    return [float(local.hour * 60 + local.minute), float(weekday), float(weekday >= SATURDAY)]

"""The demand of the minutes to come, each with its own margin: what a board that sleeps goes by. Pure.

Who sleeps can't be called back before its alarm. So it counts not only what is needed now but what may be
needed in every minute until it serves again. Each distance has residuals of its own: by how many widths the
truth lately exceeded what was expected that far ahead. The width is the forecast's own spread and a share of
its median; where no forecast is followed, the last rate known is what is expected (docs/decisions/0033).
"""

import math
from collections import deque
from collections.abc import Iterable

from tidewatt_coordinator.planning.residuals import COLD, Residuals
from tidewatt_governor.forecast.layout import AHEAD
from tidewatt_governor.forecast.value import P50, P99, Forecast

#: Share of what is expected in which, beside the forecast's spread, its error is reckoned.
STEADY = 0.05
#: Until residuals are known the margin grows with the distance: a minute more, so much more.
COLD_A_MINUTE = 0.01

#: An error is never reckoned in less than this many requests/s.
LEAST_RPS = 1e-9


class Outlook:
    """What one fleet may be asked for, minute by minute ahead. Minutes rise; one that isn't told is a gap."""

    def __init__(self, quantile: float, floor_rps: float = 0.0, worth_rps: float | None = None) -> None:
        """`quantile`: of how far the truth exceeded the expectation. `floor_rps`: the least width's base.

        `worth_rps`: instead of a quantile the margin is what it is worth, when a minute that is asked
        for too much is as bad as so many requests/s of room held for a minute.
        """
        self._floor_rps, self._worth_rps = floor_rps, worth_rps
        self._foreseen = {ahead: Residuals(quantile) for ahead in range(1, AHEAD + 1)}
        self._last = {ahead: Residuals(quantile) for ahead in range(1, AHEAD + 1)}
        self._open: deque[tuple[int, float, Forecast | None]] = deque()

    def came(self, minute: int, rps: float, forecast: Forecast | None) -> None:
        """The fleet's demand in `minute`, requests/s, and the forecast made at its end, if any.

        Bad figures are no news.
        """
        if not math.isfinite(rps) or rps < 0.0 or (self._open and minute <= self._open[-1][0]):
            return
        while self._open and minute - self._open[0][0] > AHEAD:
            self._open.popleft()
        for known, level, made in self._open:
            ahead = minute - known
            self._last[ahead].add((rps - level) / self._level(level))
            if (row := _row(made, known, ahead)) is not None:
                self._foreseen[ahead].add((rps - row[P50]) / self._width(row))
        self._open.append((minute, rps, forecast))

    def ahead(self, minute: int) -> tuple[float, ...]:
        """Requests/s to be ready for in `minute` and those after it, as far as is known: () is not at all."""
        if not self._open or minute <= self._open[-1][0]:
            return ()
        known, level, made = self._open[-1]
        return tuple(self._need(known, level, made, at - known) for at in range(minute, known + AHEAD + 1))

    def _need(self, known: int, level: float, made: Forecast | None, ahead: int) -> float:
        row = _row(made, known, ahead)
        foreseen = self._foreseen[ahead]
        if row is not None and foreseen.known and made is not None and made.trusted:
            return row[P50] + foreseen.margin_rps(self._width(row), self._worth_rps)
        last = self._last[ahead]
        if last.known:
            return level + last.margin_rps(self._level(level), self._worth_rps)
        return level * (1.0 + COLD + COLD_A_MINUTE * ahead)

    def _level(self, rps: float) -> float:
        return max(rps, self._floor_rps, LEAST_RPS)

    def _width(self, row: tuple[float, float, float]) -> float:
        return max(row[P99] - row[P50], 0.0) + STEADY * self._level(row[P50])


def _row(made: Forecast | None, known: int, ahead: int) -> tuple[float, float, float] | None:
    """What the forecast says of so many minutes after `known`; None where it says nothing usable."""
    if made is None or not 0 < (index := known + ahead - made.minute) <= AHEAD:
        return None
    row = made.rps[index - 1]
    return row if row[P50] >= 0.0 and _finite(row) else None


def _finite(row: Iterable[float]) -> bool:
    return all(map(math.isfinite, row))

"""The demand to be ready for, from telemetry that is minutes old.

What is expected is the forecast's median for the minute planned, or, without a forecast, the last rate
known. How far the truth exceeded what was expected is remembered, and an upper quantile of that is the
margin: whatever the forecaster's skill, the margin is what it lately took. Minutes that a beat is sure of
have a margin of their own (docs/decisions/0020).
"""

import math
from bisect import bisect_left, insort
from collections import deque

import msgspec

from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.forecast.layout import AHEAD
from tidewatt_governor.forecast.value import P50, P99, Forecast
from tidewatt_governor.steps import beat_of, changed, with_change

#: Residuals remembered: two days of minutes. Fewer than FEWEST tell nothing: until then the margin is COLD.
KEPT, FEWEST = 2880, 30
COLD = 0.15
#: An error is never reckoned in less than this many requests/s.
LEAST_RPS = 1e-9
#: A minute whose p99 is this near to its median is taken as sure.
SURE = 1e-3


class Guarded(msgspec.Struct, frozen=True):
    """Requests/s expected and to be ready for, and how that came about, in words."""

    expected_rps: float
    rps: float
    words: str
    sure: bool = False
    """Whether a beat is sure of it: what was needed a minute ago tells nothing more."""


class Residuals:
    """By how many widths truth lately exceeded expectation, and the upper quantile of that."""

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._rows: deque[float] = deque()
        self._ordered: list[float] = []

    def add(self, residual: float) -> None:
        """One more; the oldest beyond KEPT is forgotten."""
        self._rows.append(residual)
        insort(self._ordered, residual)
        if len(self._rows) > KEPT:
            del self._ordered[bisect_left(self._ordered, self._rows.popleft())]

    @property
    def known(self) -> bool:
        """Whether there are enough to tell."""
        return len(self._ordered) >= FEWEST

    @property
    def margin(self) -> float:
        """Widths, at least 0. Only where it is known."""
        last = len(self._ordered) - 1
        return max(0.0, self._ordered[min(last, math.floor(self._quantile * len(self._ordered)))])


class Track:
    """One way of expecting, with the residuals of its minutes that were sure and of those that weren't."""

    def __init__(self, terms: Terms) -> None:
        self._residuals = {sure: Residuals(terms.tail_quantile) for sure in (False, True)}
        self._open: dict[int, tuple[float, float, bool]] = {}
        self._least = terms.least_margin

    def expect(self, minute: int, rps: float, width_rps: float, *, sure: bool) -> Guarded:
        """What to be ready for in that minute, when `rps` is expected; remembered until it came.

        `width_rps`: what its error is reckoned in, above 0: more where more may come.
        """
        self._open[minute] = (rps, width_rps, sure)
        known = self._residuals[sure]
        extra = known.margin * width_rps if known.known else rps * COLD
        extra = max(extra, rps * self._least)
        words = f"{rps:.0f} rps expected + {extra / max(rps, 1e-9):.0%}"
        return Guarded(rps, rps + extra, words, sure)

    def came(self, minute: int, rps: float) -> None:
        """Learn from a minute that is over; what was expected of earlier ones is forgotten."""
        if expected := self._open.pop(minute, None):
            guess, width, sure = expected
            self._residuals[sure].add((rps - guess) / width)
        self._open = {later: one for later, one in self._open.items() if later > minute}

    @property
    def known(self) -> bool:
        """Whether it has been scored often enough to be followed."""
        return self._residuals[False].known or self._residuals[True].known


class DemandGuard:
    """What is known of one fleet's demand. Minutes rise; one that isn't told of is a gap."""

    def __init__(self, terms: Terms, floor_rps: float = 0.0) -> None:
        """`floor_rps`: rises from less are reckoned from it, as next to nothing has no ratio."""
        self._terms, self._floor_rps = terms, floor_rps
        self._last, self._foreseen = Track(terms), Track(terms)
        self._newest: tuple[int, float] | None = None
        self._changes: tuple[int, ...] = ()

    def came(self, minute: int, rps: float) -> None:
        """The fleet's demand in `minute`, in requests/s, once it is known; bad figures are no news."""
        if not math.isfinite(rps) or rps < 0.0 or (self._newest and minute <= self._newest[0]):
            return
        if self._newest and changed(self._newest[1], rps):
            self._changes = with_change(self._changes, minute)
        self._newest = (minute, rps)
        for track in (self._last, self._foreseen):
            track.came(minute, rps)

    def ready(self, minute: int, forecast: Forecast | None) -> Guarded | None:
        """What to be ready for in `minute`; None where what is known is too old to tell.

        `forecast`: the newest one, by the fleet's whole demand; followed only while it is trusted.
        """
        if self._newest is None or not 0 < minute - self._newest[0] <= self._terms.blind_min:
            return None
        newest, rps = self._newest
        beat = beat_of(self._changes)
        sure = beat is not None and beat.left(newest) >= minute - newest
        plain = self._last.expect(minute, rps, self._level(rps), sure=sure)
        foreseen = self._expect(minute, forecast)
        if sure or foreseen is None or not self._foreseen.known or forecast is None or not forecast.trusted:
            return plain
        return foreseen

    def _expect(self, minute: int, forecast: Forecast | None) -> Guarded | None:
        if forecast is None or not 0 < minute - forecast.minute <= AHEAD:
            return None
        row = forecast.rps[minute - forecast.minute - 1]
        if not all(map(math.isfinite, row)) or row[P50] < 0.0:
            return None
        spread = row[P99] - row[P50]
        width = max(spread, 0.0) + self._terms.steady * self._level(row[P50])
        return self._foreseen.expect(minute, row[P50], width, sure=spread <= SURE * row[P50])

    def _level(self, rps: float) -> float:
        return max(rps, self._floor_rps, LEAST_RPS)

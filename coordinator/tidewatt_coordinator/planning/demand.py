"""The demand to be ready for, from telemetry that is minutes old.

What is expected is the forecast's median for the minute planned, or, without a forecast, the last rate
known. How far the truth exceeded what was expected is remembered, and an upper quantile of that is the
margin: whatever the forecaster's skill, the margin is what it lately took. Minutes that a beat is sure of
have a margin of their own (docs/decisions/0020).
"""

import math

import msgspec

from tidewatt_coordinator.planning.fresh import Fresh, FreshTrack
from tidewatt_coordinator.planning.residuals import COLD, Residuals
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.forecast.layout import AHEAD
from tidewatt_governor.forecast.value import P50, P99, Forecast
from tidewatt_governor.steps import Beat, beat_of, changed, with_change

#: An error is never reckoned in less than this many requests/s.
LEAST_RPS = 1e-9
#: A forecast's quantiles of one minute.
Row = tuple[float, float, float]
#: Of what the minute before differs from what a forecast said of it, the share that the next is taken to.
FOLLOWS = 0.6
#: The fleet is hardly ever seen below this quantile of what is expected of them.
LOW, HIGH = 0.02, 0.995
#: A minute whose p99 is this near to its median is taken as sure.
SURE = 1e-3


class Guarded(msgspec.Struct, frozen=True):
    """Requests/s expected and to be ready for, and how that came about, in words."""

    expected_rps: float
    rps: float
    words: str
    sure: bool = False
    """Whether a beat is sure of it: what was needed a minute ago tells nothing more."""
    fresh: Fresh | None = None
    """The same by what devices know themselves; None where nothing is known of that."""


class Track:
    """One way of expecting, with the residuals of its minutes that were sure and of those that weren't."""

    def __init__(self, terms: Terms) -> None:
        self._residuals = {sure: Residuals(terms.tail_quantile) for sure in (False, True)}
        self._open: dict[int, tuple[float, float, bool]] = {}
        self._least, self._worth_rps = terms.least_margin, terms.worth_rps

    def expect(self, minute: int, rps: float, width_rps: float, *, sure: bool) -> Guarded:
        """What to be ready for in that minute, when `rps` is expected; remembered until it came.

        `width_rps`: what its error is reckoned in, above 0: more where more may come.
        """
        known = self._residuals[sure]
        width_rps = known.width(width_rps)
        self._open[minute] = (rps, width_rps, sure)
        extra = known.margin_rps(width_rps, self._worth_rps) if known.known else rps * COLD
        extra = max(extra, rps * self._least)
        words = f"{rps:.0f} rps expected + {extra / max(rps, 1e-9):.0%}"
        return Guarded(rps, rps + extra, words, sure)

    def came(self, minute: int, rps: float) -> None:
        """Learn from a minute that is over; what was expected of earlier ones is forgotten."""
        if expected := self._open.pop(minute, None):
            guess, width, sure = expected
            self._residuals[sure].add((rps - guess) / width, width)
        self._open = {later: one for later, one in self._open.items() if later > minute}

    def range(self, rps: float, width_rps: float) -> tuple[float, float]:
        """Between which rates a minute that isn't sure hardly ever isn't, when `rps` is expected."""
        known = self._residuals[False]
        if not known.known:
            return 0.5 * rps, 1.5 * rps
        width_rps = known.width(width_rps)
        low, high = known.at(LOW) * width_rps, known.at(HIGH) * width_rps
        return max(0.0, rps + min(low, 0.0)), rps + max(high, 0.0)

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
        self._fresh = {foreseen: FreshTrack(terms) for foreseen in (False, True)}
        self._said: dict[int, Fresh] = {}
        self._newest: tuple[int, float] | None = None
        self._changes: tuple[int, ...] = ()

    def came(self, minute: int, rps: float) -> None:
        """The fleet's demand in `minute`, in requests/s, once it is known; bad figures are no news."""
        if not math.isfinite(rps) or rps < 0.0 or (self._newest and minute <= self._newest[0]):
            return
        if self._newest and changed(self._newest[1], rps):
            self._changes = with_change(self._changes, minute)
        before = self._newest[1] if self._newest and self._newest[0] == minute - 1 else None
        for fresh in self._fresh.values():
            fresh.came(minute, before, rps)
        self._said = {later: one for later, one in self._said.items() if later > minute}
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
        row, ahead = _row(forecast, minute), _row(forecast, minute - 1)
        foreseen = self._expect(minute, row) if row else None
        if forecast is None or not forecast.trusted:
            foreseen = row = ahead = None
        chosen = foreseen if foreseen and self._foreseen.known and not sure else plain
        fresh = self._freshly(minute, self._newest, row, ahead, beat)
        return msgspec.structs.replace(chosen, fresh=fresh)

    def _freshly(
        self, minute: int, newest: tuple[int, float], row: Row | None, ahead: Row | None, beat: Beat | None
    ) -> Fresh | None:
        """By the minute before, which devices know. `row`, `ahead`: the forecast of `minute` and of that.

        None where it is known already.
        """
        known, rps = newest
        if minute - known <= 1:
            return None
        said = self._said.get(minute - 1)
        lately = said.need(rps) if said and known == minute - 2 else 0.0
        sure = beat is not None and beat.left(minute - 1) >= 1
        lines = self._fresh[False].expect(minute, 1.0, 0.0, self._level(rps), sure=sure)
        before, low, high = rps, *self._last.range(rps, self._level(rps))
        if row and ahead and self._foreseen.known:
            before, low, high = ahead[P50], *self._foreseen.range(ahead[P50], self._width(ahead))
        if row and ahead:
            base, flat = row[P50] - FOLLOWS * ahead[P50], _sure(row)
            foreseen = self._fresh[True].expect(minute, FOLLOWS, base, self._width(row), sure=flat)
            lines = lines if sure or not self._fresh[True].known else foreseen
        made = Fresh(lines, low, high, before, lately, sure)
        self._said[minute] = made
        return made

    def _expect(self, minute: int, row: Row) -> Guarded:
        return self._foreseen.expect(minute, row[P50], self._width(row), sure=_sure(row))

    def _width(self, row: Row) -> float:
        return max(row[P99] - row[P50], 0.0) + self._terms.steady * self._level(row[P50])

    def _level(self, rps: float) -> float:
        return max(rps, self._floor_rps, LEAST_RPS)


def _row(forecast: Forecast | None, minute: int) -> Row | None:
    """What a forecast says of that minute; None where it says nothing that could be."""
    if forecast is None or not 0 < minute - forecast.minute <= AHEAD:
        return None
    row = forecast.rps[minute - forecast.minute - 1]
    return row if all(map(math.isfinite, row)) and row[P50] >= 0.0 else None


def _sure(row: Row) -> bool:
    return row[P99] - row[P50] <= SURE * row[P50]

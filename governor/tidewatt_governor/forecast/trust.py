"""Trust is earned: every forecast is scored when its time has come, and unskilled ones are not followed."""

import math
from collections import deque
from collections.abc import Sequence

import msgspec

#: Forecasts that the score looks back on: six hours of minutes.
WINDOW = 360
#: Scored forecasts before the first trust, and before trust is taken or given back.
FEWEST = 60
#: Of the last value's error: not followed above it, and again only below this.
BETTER = 0.97
#: A p90 that lies further above the peak than so many times the last value's error promises nothing.
MOST_WIDTH = 5.0
#: Errors below this share of the rate are none: an idle or constant night says nothing for or against.
NONE = 1e-3
#: Share of the peaks that stayed at or below their p90: below the first off, from the second on again.
BROKEN, SOUND = 0.80, 0.84


class Score(msgspec.Struct, frozen=True):
    """One forecast when its fifteen minutes were over."""

    error: float
    """Mean |p50 - rate| over the fifteen minutes, requests/s."""
    naive_error: float
    """The same for the last value."""
    above: float
    """By how much the p90 lay above the peak; 0 where it lay below."""
    peak: float
    covered: bool
    """Whether the peak stayed at or below its p90."""


class Trust:
    """Whether forecasts are followed now, and why."""

    def __init__(self) -> None:
        self._scores: deque[Score] = deque(maxlen=WINDOW)
        self.trusted = False
        self.reason = f"0 of {FEWEST} forecasts scored"

    @property
    def skill(self) -> float | None:
        """1 - error / last value's error over the window; None before the first score, or without errors."""
        naive = sum(score.naive_error for score in self._scores)
        return 1.0 - sum(score.error for score in self._scores) / naive if naive > 0.0 else None

    @property
    def _error(self) -> float:
        """Of the last value's; where that is next to nothing, of next to nothing."""
        least = NONE * sum(score.peak for score in self._scores)
        naive = max(sum(score.naive_error for score in self._scores), least)
        own = sum(score.error for score in self._scores)
        return own / naive if naive > 0.0 else (1.0 if own == 0.0 else math.inf)

    @property
    def _width(self) -> float:
        """How far the p90 lies above the peak, in errors of the last value."""
        naive = sum(score.naive_error for score in self._scores)
        least = naive + 0.05 * sum(score.peak for score in self._scores)
        above = sum(score.above for score in self._scores)
        return above / least if least > 0.0 else (0.0 if above == 0.0 else math.inf)

    @property
    def coverage(self) -> float | None:
        """Share of the peaks at or below their p90; None before the first score."""
        if not self._scores:
            return None
        return sum(score.covered for score in self._scores) / len(self._scores)

    def score(self, middle: Sequence[float], upper_peak: float, last: float, came: Sequence[float]) -> None:
        """Take a forecast whose minutes have come: p50 by minute, p90 of the peak, the last value then."""
        count = len(came)
        self._scores.append(
            Score(
                sum(abs(p50 - rate) for p50, rate in zip(middle, came, strict=True)) / count,
                sum(abs(last - rate) for rate in came) / count,
                max(upper_peak - max(came), 0.0),
                max(came),
                max(came) <= upper_peak,
            )
        )
        self._judge()

    def _judge(self) -> None:
        if len(self._scores) < FEWEST:
            self.reason = f"{len(self._scores)} of {FEWEST} forecasts scored"
            return
        count, covered = len(self._scores), self.coverage or 0.0
        error, bare, most = self._error, *((BROKEN, 1.0) if self.trusted else (SOUND, BETTER))
        if not error <= most:  # nor where it is not a number
            self.trusted = False
            self.reason = f"error {error:.2f} of the last value's over {count} forecasts"
        elif not self._width <= MOST_WIDTH:
            self.trusted = False
            self.reason = f"p90 of the peak lies {self._width:.0f} times as far off as the last value"
        elif covered < bare:
            self.trusted = False
            self.reason = f"{covered:.0%} of the peaks stayed below their p90"
        else:
            self.trusted = True
            self.reason = f"error {error:.2f} of the last value's, {covered:.0%} of the peaks below their p90"

"""By how much truth lately exceeded what was expected, and the quantiles of that. Pure."""

import math
from bisect import bisect_left, insort
from collections import deque

#: Residuals remembered: two days of minutes. Fewer than FEWEST tell nothing: until then the margin is COLD.
KEPT, FEWEST = 2880, 30
COLD = 0.15
#: The part of a width that is what widths usually are: a forecaster knows how uncertain a minute is, but by
#: half as much as it says. On the mean of the spans tuned on, this gave the same cover for less margin.
USUAL = 0.5
#: However dear it is, a margin is never below this quantile.
LEAST_QUANTILE = 0.9


class Residuals:
    """By how many widths truth lately exceeded expectation, and the upper quantile of that."""

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._rows: deque[float] = deque()
        self._ordered: list[float] = []
        self._usual, self._count = 0.0, 0

    def add(self, residual: float, width: float = 1.0) -> None:
        """One more, and the width it is in; the oldest beyond KEPT is forgotten."""
        self._count = min(self._count + 1, KEPT)
        self._usual += (width - self._usual) / self._count
        self._rows.append(residual)
        insort(self._ordered, residual)
        if len(self._rows) > KEPT:
            del self._ordered[bisect_left(self._ordered, self._rows.popleft())]

    @property
    def known(self) -> bool:
        """Whether there are enough to tell."""
        return len(self._ordered) >= FEWEST

    def width(self, said: float) -> float:
        """In what a minute's error is reckoned of which a way of expecting says `said`."""
        return USUAL * self._usual + (1.0 - USUAL) * said if self._count else said

    @property
    def margin(self) -> float:
        """Widths, at least 0. Only where it is known."""
        return max(0.0, self.at(self._quantile))

    def worth(self, price: float) -> float:
        """The margin in widths, at least 0, that is worth its price. Only where it is known.

        `price`: of a width, as the share of minutes short of it that would cost as much.
        """
        known = len(self._ordered)
        first = min(known - 1, math.floor(LEAST_QUANTILE * known))
        best, margin = math.inf, 0.0
        for index in range(first, known):
            here = max(0.0, self._ordered[index])
            cost = price * here + (known - 1 - index) / known
            if cost < best:
                best, margin = cost, here
        return margin

    def margin_rps(self, width_rps: float, worth_rps: float | None) -> float:
        """The margin in requests/s for that width: by the quantile, or by what it is worth."""
        if worth_rps is None:
            return self.margin * width_rps
        return self.worth(width_rps / worth_rps) * width_rps

    def at(self, quantile: float) -> float:
        """That quantile, in widths; below 0 where truth was less. Only where it is known."""
        last = len(self._ordered) - 1
        return self._ordered[min(last, math.floor(quantile * len(self._ordered)))]

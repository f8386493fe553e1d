"""What serves in each minute of an outlook, while sleepers are taken out one by one. Pure.

Sums are kept in whole millionths of a request/s, so that taking out and asking again never drifts: rooms are
rounded down and needs up.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Sequence

MILLION = 1_000_000
ENDLESS = 1 << 128


class Rooms:
    """By minute ahead: who serves, by what each can at the most, and what is needed."""

    def __init__(self, needs: Sequence[float], likely: Sequence[float], spare: int, at_least: int) -> None:
        """`needs`: of all who serve together, requests/s; `likely`: without the strongest `spare`."""
        self._needs, self._likely = [_up(rps) for rps in needs], [_up(rps) for rps in likely]
        self._spare, self._at_least = spare, at_least
        self._rows: list[list[int]] = [[] for _ in needs]
        self._sums = [0] * len(needs)

    def __len__(self) -> int:
        """Minutes that are known of."""
        return len(self._rows)

    def serves(self, most_rps: float, first: int, until: int | None = None) -> None:
        """A board that serves from the `first` minute ahead on."""
        most = _down(most_rps)
        for ahead in range(len(self))[first:until]:
            insort(self._rows[ahead], most)
            self._sums[ahead] += most

    def without(self, most_rps: float, first: int, minutes: int) -> None:
        """Let it sleep for so long."""
        most = _down(most_rps)
        for ahead in range(len(self))[first : first + minutes]:
            row = self._rows[ahead]
            del row[bisect_left(row, most)]
            self._sums[ahead] -= most

    def carries(self, ahead: int, less_rps: float | None = None, *, sure: bool = True) -> bool:
        """Whether those that serve in that minute are enough, without one that serves `less_rps` at the most.

        If not `sure`, only for what is likely. False where nothing is known of the minute.
        """
        if ahead >= len(self):
            return False
        less = None if less_rps is None else _down(less_rps)
        row, count = self._rows[ahead], len(self._rows[ahead]) - (less is not None)
        total = self._sums[ahead] - (less or 0)
        enough = total - self._strongest(row, less) >= self._likely[ahead]
        return enough and count >= self._at_least and (not sure or total >= self._needs[ahead])

    def _strongest(self, row: list[int], less: int | None) -> int:
        """What the spare can, of those that are left."""
        if not self._spare:
            return 0
        top = row[-self._spare :]
        if less is None or less < top[0]:
            return sum(top)
        return sum(row[-self._spare - 1 :]) - less


def _down(rps: float) -> int:
    return math.floor(rps * MILLION)


def _up(rps: float) -> int:
    """Of a need that is no number: more than anybody carries."""
    return math.ceil(rps * MILLION) if math.isfinite(rps) else ENDLESS

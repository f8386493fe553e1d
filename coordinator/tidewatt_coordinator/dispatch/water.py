"""Water filling: split a rate over backends by rising marginal cost, exactly. Pure.

A backend of cost c and capacity C that serves r C of the rate costs c + spread r at the margin. All that
serve stand at one level. Without the convex term levels are pairs: the cost, and how far its tier is filled.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tidewatt_coordinator.dispatch.pool import Floats

Level = tuple[float, float]
DRY: Level = (-np.inf, 0.0)
FLOOD: Level = (np.inf, 1.0)
#: A convex term below this share of the costs is lost in their rounding: it counts as none.
FINEST = 1e-7


@dataclass(frozen=True)
class Basin:
    """Backends in the order of their cost, with their sums so far."""

    cost: Floats
    capacity: Floats
    rate: float
    """What is to be split; less than nothing if others' work is done here already."""

    def level(self, spread: float) -> Level:
        """Where the water stands; DRY below nothing, FLOOD above the capacity."""
        spread = self._felt(spread)
        sums = np.concatenate(([0.0], np.cumsum(self.capacity)))
        total = float(sums[-1])
        slack = 1e-12 * max(total, abs(self.rate))
        if self.rate > total + slack:
            return FLOOD
        if self.rate < -slack or len(self.cost) == 0:
            return DRY
        if self.rate >= total:
            return float(self.cost[-1]) + spread, 1.0 if spread == 0.0 else 0.0
        rate = max(self.rate, 0.0)
        return self._tier(rate, sums) if spread == 0.0 else self._height(rate, sums, spread)

    def _felt(self, spread: float) -> float:
        largest = max(abs(float(self.cost[0])), abs(float(self.cost[-1]))) if len(self.cost) else 0.0
        return spread if spread > FINEST * largest else 0.0

    def _tier(self, rate: float, sums: Floats) -> Level:
        at = min(int(np.searchsorted(sums, rate, side="right")) - 1, len(self.cost) - 1)
        cost = float(self.cost[at])
        low, high = np.searchsorted(self.cost, [cost, np.nextafter(cost, np.inf)])
        return cost, (rate - float(sums[low])) / float(sums[high] - sums[low])

    def _height(self, rate: float, sums: Floats, spread: float) -> Level:
        ends = self.cost + spread
        weighted = np.concatenate(([0.0], np.cumsum(self.capacity * self.cost)))

        def held(level: float) -> tuple[float, float]:
            """What stands below the level, and what more rises with it."""
            wet = int(np.searchsorted(self.cost, level, side="right"))
            full = int(np.searchsorted(ends, level, side="right"))
            rising = float(sums[wet] - sums[full])
            part = rising * level - float(weighted[wet] - weighted[full])
            return float(sums[full]) + part / spread, rising

        at = _last(self.cost, rate, lambda level: held(level)[0], -1, len(self.cost))
        low, high = float(self.cost[max(at, 0)]), float(self.cost[at + 1]) if at + 1 < len(ends) else np.inf
        between = int(np.searchsorted(ends, low)), int(np.searchsorted(ends, high))
        full = _last(ends, rate, lambda level: held(level)[0], between[0] - 1, between[1])
        low = max(low, float(ends[full])) if full >= between[0] else low
        below, rising = held(low)
        return (low + (rate - below) * spread / rising if rising > 0.0 else low), 0.0

    def filled(self, level: Level, spread: float) -> Floats:
        """What each backend serves at that level."""
        if level[0] == np.inf:
            return np.asarray(self.capacity.copy())
        spread = self._felt(spread)
        if spread > 0.0:
            risen = np.clip((level[0] - self.cost) / spread, 0.0, 1.0)
            return np.asarray(self.capacity * risen)
        part = np.where(self.cost == level[0], level[1], 0.0)
        return np.asarray(self.capacity * np.where(self.cost < level[0], 1.0, part))


def _last(levels: Floats, rate: float, held: Callable[[float], float], low: int, high: int) -> int:
    """The last place between two that holds no more than the rate; `low` if none does."""
    while high - low > 1:
        middle = (low + high) // 2
        if held(float(levels[middle])) <= rate:
            low = middle
        else:
            high = middle
    return low

"""The nodes of one pool: they follow what was served, start late, and are taken away. Pure."""

import math
from collections import deque

from tidewatt_coordinator.simulate.world import Nodes, Storm

#: Use that the number of nodes aims at, by the busiest of so many last minutes.
TARGET_USE, LOOK_BACK = 0.8, 15
#: Minutes between a spot warning and its node's end.
NOTICE_MIN = 2
#: At most so many times the nodes at once, as replicas go.
STEEPEST = 2
DAY_MIN = 1440


class Crew:
    """A pool's nodes. Minutes count from the first that is lived."""

    def __init__(self, pool: Nodes, storm: Storm | None) -> None:
        self._pool, self._storm = pool, storm
        self._served: deque[float] = deque(maxlen=LOOK_BACK)
        self._count = pool.most
        self._coming: deque[tuple[int, int]] = deque()
        """When so many more will serve."""

    def minute(self, minute: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """(on demand, spot) that serve in a minute, and that are paid for."""
        self._follow(minute)
        while self._coming and self._coming[0][0] <= minute:
            self._coming.popleft()
        ready = self._count - sum(more for _, more in self._coming)
        spot, spot_paid = self._spot(ready), self._spot(self._count)
        steady, steady_paid = ready - spot, self._count - spot_paid
        gone, back, ordered = self._taken(minute, spot)
        return (
            (steady + (gone if back else 0), spot - gone),
            (steady_paid + (gone if ordered else 0), max(spot_paid - gone, 0)),
        )

    def took(self, minute: int) -> int:
        """Spot nodes that are taken in just this minute."""
        storm = self._storm
        if storm is None or minute % DAY_MIN != storm.hour * 60:
            return 0
        return self._lost(self._spot(self._count))

    def served(self, rps: float) -> None:
        """Note what the pool served in the minute."""
        self._served.append(rps)

    def _follow(self, minute: int) -> None:
        least = self._pool.least
        if least is None or not self._served:
            return
        need = math.ceil(max(self._served) / (self._pool.node_rps * TARGET_USE) - 1e-9)
        wanted = min(max(need, least), self._pool.most, max(STEEPEST * self._count, 1))
        if wanted > self._count:
            self._coming.append((minute + self._pool.start_min, wanted - self._count))
        elif wanted < self._count:
            self._coming.clear()
        self._count = wanted

    def _taken(self, minute: int, spot: int) -> tuple[int, bool, bool]:
        """Spot nodes that are gone now, whether others serve for them, and whether others are paid."""
        storm = self._storm
        if storm is None:
            return 0, False, False
        since = minute % DAY_MIN - storm.hour * 60
        if not 0 <= since < storm.minutes:
            return 0, False, False
        return self._lost(spot), since >= self._pool.start_min - NOTICE_MIN, True

    def _spot(self, count: int) -> int:
        """Of so many nodes; the nearest, of two the fewer."""
        return max(math.ceil(count * self._pool.spot_share - 0.5), 0)

    def _lost(self, spot: int) -> int:
        return math.ceil(spot * self._storm.share - 1e-9) if self._storm else 0

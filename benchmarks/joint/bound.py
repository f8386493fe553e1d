"""The least watts with which a fleet of like devices can serve a demand: exact, by every combination.

Clairvoyant, minute by minute; switching and dwell are ignored, so nobody who lives by the rules beats it.
"""

import itertools
from collections.abc import Sequence

from tidewatt_wire.messages import OperatingPoint


class JointBound:
    """Watts by demand for `count` devices that each stand at one of `points`."""

    def __init__(self, points: Sequence[OperatingPoint], count: int) -> None:
        self._combinations = list(itertools.combinations_with_replacement(points, count))
        self._cheap = [sorted(one, key=lambda point: point.joules_per_request) for one in self._combinations]
        self._capacity = [sum(point.capacity_rps for point in one) for one in self._combinations]
        self._idle_w = [sum(point.idle_watts for point in one) for one in self._combinations]

    @property
    def most_rps(self) -> float:
        """What all can serve."""
        return max(self._capacity)

    def watts(self, demand_rps: float) -> float:
        """The least watts; of a demand beyond `most_rps` only that is served."""
        served = min(demand_rps, self.most_rps)
        return min(
            idle_w + _serving(cheap, served)
            for cheap, capacity, idle_w in zip(self._cheap, self._capacity, self._idle_w, strict=True)
            if capacity >= served
        )


def _serving(cheap: Sequence[OperatingPoint], rps: float) -> float:
    """Watts beyond idle when the cheapest requests are served first."""
    watts, left = 0.0, rps
    for point in cheap:
        here = min(left, point.capacity_rps)
        watts += here * point.joules_per_request
        left -= here
    return watts

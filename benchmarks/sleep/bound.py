"""The least energy of a fleet of like devices that may sleep, clairvoyant: exact over how many are awake.

Each minute's least watts with so many awake are those of the best combination of points; a dynamic programme
over the number awake adds what waking costs. Dwell, switches, drains, looks and the floor are ignored, so
nobody who lives by the rules beats it.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tidewatt_coordinator.planning.naps import NapTerms
from tidewatt_wire.messages import OperatingPoint

Floats = NDArray[np.float64]


def least_watts(
    points: Sequence[OperatingPoint], count: int, asleep_w: float, demand_rps: Sequence[float]
) -> Floats:
    """(count + 1, minutes) watts with 0, 1, ... devices awake; infinite where they can't serve it all.

    Of a demand beyond what all can serve only that is served.
    """
    most = count * max(point.capacity_rps for point in points)
    served = np.minimum(np.array(demand_rps, float), most)
    rows = np.full((count + 1, len(served)), np.inf)
    for awake in range(count + 1):
        for some in itertools.combinations_with_replacement(points, awake):
            watts = _watts(some, served) + (count - awake) * asleep_w
            rows[awake] = np.minimum(rows[awake], watts)
    return rows


def with_spare(rows: Floats, most_rps: float, demand_rps: Sequence[float], terms: NapTerms) -> Floats:
    """`rows` where at least the floor is awake, and the spare beside those that could carry the demand."""
    awake = np.arange(len(rows))[:, None]
    able = (awake - terms.spare) * most_rps >= np.array(demand_rps, float)[None, :]
    allowed = (able & (awake >= terms.awake_at_least)) | (awake == len(rows) - 1)
    return np.where(allowed, rows, np.inf)


def _watts(some: Sequence[OperatingPoint], served: Floats) -> Floats:
    """Of one combination, the cheapest requests first."""
    watts, left = np.full(len(served), float(sum(point.idle_watts for point in some))), served.copy()
    for point in sorted(some, key=lambda one: one.joules_per_request):
        here = np.minimum(left, point.capacity_rps)
        watts += here * point.joules_per_request
        left -= here
    watts[left > 1e-9 * np.maximum(served, 1.0)] = np.inf
    return watts


def least_energy_j(rows: Floats, wake_j: float) -> float:
    """Joules over all minutes, everybody awake before the first. `rows`: of `least_watts`."""
    awake = np.arange(len(rows))
    wakes = wake_j * np.maximum(awake[None, :] - awake[:, None], 0)
    best = np.where(awake == len(rows) - 1, 0.0, np.inf)
    for watts in rows.T:
        best = np.min(best[:, None] + wakes, axis=0) + 60.0 * watts
    return float(np.min(best))

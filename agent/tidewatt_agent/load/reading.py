"""What an application has counted at one moment, and two readings to a Load. Pure.

Counters restart at zero when the application does: a value below the one before is the
increase since the restart, as Prometheus itself takes it.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from tidewatt_governor.sample import Load

P95 = 0.95

Buckets = Sequence[tuple[float, float]]


class Unreadable(ValueError):
    """The page does not hold what was asked for; the sentence says what is missing."""


class Reading(msgspec.Struct, frozen=True):
    """Requests and, where the application has one, the cumulative latency histogram."""

    requests: float
    buckets: tuple[tuple[float, float], ...] = ()
    """(upper bound in seconds, cumulative count), ascending, the last bound infinite."""


def load_between(before: Reading, after: Reading, interval_s: float) -> Load:
    """The load over `interval_s` seconds; ValueError if that is not positive."""
    if interval_s <= 0.0:
        raise ValueError(f"an interval of {interval_s} s holds no load")
    restarted = after.requests < before.requests
    # Whole requests: counters are floats in the format, but a request is one.
    requests = int(after.requests) - (0 if restarted else int(before.requests))
    return Load(
        requests=requests,
        interval_s=interval_s,
        p95_ms=_p95_ms(_increase(before.buckets, after.buckets)),
    )


def together(loads: Sequence[Load]) -> Load:
    """Several applications' loads over the same interval as one: rates add up.

    The 95th percentile of a mixture is at most the highest of its parts', which is therefore
    taken: it errs on the side of the promise. ValueError if there are none.
    """
    known = [load.p95_ms for load in loads if load.p95_ms is not None]
    return Load(
        requests=sum(load.requests for load in loads),
        interval_s=max(load.interval_s for load in loads),
        p95_ms=max(known, default=None),
    )


def _increase(before: Buckets, after: Buckets) -> list[tuple[float, float]]:
    start = dict(before)
    if any(count < start.get(bound, 0.0) for bound, count in after):
        start = {}  # the application restarted
    return [(bound, count - start.get(bound, 0.0)) for bound, count in after]


def _p95_ms(buckets: Buckets) -> float | None:
    """Linear interpolation inside the bucket, as histogram_quantile does; beyond the last bound, infinite."""
    if not buckets or buckets[-1][1] <= 0.0:
        return None
    rank = P95 * buckets[-1][1]
    for (low, below), (bound, count) in pairwise([(0.0, 0.0), *buckets]):
        if count >= rank and count > below:
            if bound == float("inf"):
                return bound
            return (low + (bound - low) * (rank - below) / (count - below)) * 1000.0
    return float("inf")

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
    """Requests and, where the application has one, the cumulative latency histogram, by series.

    By series, because each restarts on its own: a worker that went away must not look like a
    restart of all of them.
    """

    requests: dict[str, float]
    buckets: dict[str, tuple[float, float]] = {}
    """(upper bound in seconds, cumulative count)."""


def load_between(before: Reading, after: Reading, interval_s: float) -> Load:
    """The load over `interval_s` seconds; ValueError if that is not positive."""
    if interval_s <= 0.0:
        raise ValueError(f"an interval of {interval_s} s holds no load")
    # Whole requests: counters are floats in the format, but a request is one.
    requests = sum(
        int(count) - int(_start(before.requests.get(series, 0.0), count))
        for series, count in after.requests.items()
    )
    return Load(requests=requests, interval_s=interval_s, p95_ms=_p95_ms(_increase(before, after)))


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


def _start(before: float, after: float) -> float:
    return 0.0 if after < before else before


def _increase(before: Reading, after: Reading) -> list[tuple[float, float]]:
    increase: dict[float, float] = {}
    for series, (bound, count) in after.buckets.items():
        earlier = before.buckets.get(series, (bound, 0.0))[1]
        increase[bound] = increase.get(bound, 0.0) + count - _start(earlier, count)
    return sorted(increase.items())


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

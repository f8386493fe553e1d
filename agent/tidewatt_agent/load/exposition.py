"""A Prometheus page to a reading, and two readings to a Load. Pure.

Counters restart at zero when the application does: a value below the one before is the
increase since the restart, as Prometheus itself takes it.
"""

from collections.abc import Mapping, Sequence

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tidewatt_governor.sample import Load

P95 = 0.95


class Reading(msgspec.Struct, frozen=True):
    """Counter and cumulative histogram at one moment, summed over the series that match."""

    requests: float
    buckets: tuple[tuple[float, float], ...] = ()
    """(upper bound in seconds, cumulative count), ascending, the last bound infinite."""


class Unreadable(ValueError):
    """The page does not hold what was asked for; the sentence says what is missing."""


def parse_page(page: str, counter: str, histogram: str, labels: Mapping[str, str]) -> Reading:
    """The reading in an exposition page; Unreadable if the counter isn't there or the page is broken.

    Only the wanted lines are parsed: pages of real applications have hundreds of series.
    """
    bucket = f"{histogram}_bucket" if histogram else None
    wanted = tuple(name for name in (counter, bucket) if name)
    lines = [line for line in page.splitlines() if line.startswith(wanted)]
    requests: float | None = None
    buckets: dict[float, float] = {}
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                if not labels.items() <= sample.labels.items():
                    continue
                if sample.name == counter:
                    requests = (requests or 0.0) + sample.value
                elif sample.name == bucket:
                    bound = float(sample.labels["le"])
                    buckets[bound] = buckets.get(bound, 0.0) + sample.value
    except (ValueError, KeyError, IndexError) as error:
        raise Unreadable(f"not Prometheus exposition text: {error}") from error
    if requests is None or not 0.0 <= requests < float("inf"):
        chosen = "".join(f" {key}={value!r}" for key, value in labels.items())
        raise Unreadable(f"no usable series {counter}{chosen} on the page")
    return Reading(requests, tuple(sorted(buckets.items())))


def load_between(before: Reading, after: Reading, interval_s: float) -> Load:
    """The load over `interval_s` seconds; ValueError if that is not positive."""
    if interval_s <= 0.0:
        raise ValueError(f"an interval of {interval_s} s holds no load")
    restarted = after.requests < before.requests
    requests = after.requests if restarted else after.requests - before.requests
    # Whole requests: counters are floats in the format, but a request is one.
    whole = int(after.requests) - (0 if restarted else int(before.requests))
    return Load(
        requests=max(0, whole),
        interval_s=interval_s,
        p95_ms=_p95_ms(_increase(before.buckets, after.buckets)) if requests > 0 else None,
    )


def _increase(
    before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    start = dict(before)
    if any(count < start.get(bound, 0.0) for bound, count in after):
        start = {}  # the application restarted
    return [(bound, count - start.get(bound, 0.0)) for bound, count in after]


def _p95_ms(buckets: Sequence[tuple[float, float]]) -> float | None:
    """Linear interpolation inside the bucket, as histogram_quantile does; beyond the last bound, infinite."""
    if not buckets or buckets[-1][1] <= 0.0:
        return None
    rank = P95 * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if bound == float("inf"):
                return bound
            share = (rank - below) / (count - below) if count > below else 1.0
            return (low + (bound - low) * share) * 1000.0
        low, below = bound, count
    return float("inf")

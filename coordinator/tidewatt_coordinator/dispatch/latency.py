"""How often a backend is too slow for a class (guarantee G2). Pure.

The share of a mixture's requests that is slower than a limit is the mixture of the shares: linear in the
weights, where percentiles are not. The empirical share gets the margin of Dvoretzky, Kiefer, Wolfowitz and
Massart, sqrt(ln(2/doubt) / 2n), so that it holds for the true distribution but for that doubt.
"""

import math

from tidewatt_coordinator.dispatch.backends import Histogram


def margin(observations: int, doubt: float) -> float:
    """By how much the true share may lie above the observed one."""
    return math.sqrt(math.log(2.0 / doubt) / (2.0 * observations)) if observations > 0 else 1.0


def mean_s(latency: Histogram | None) -> float | None:
    """The mean wait in seconds, at most: each request counts as slow as its bucket can be, one beyond the
    last bound as twice that. None where nothing is known.
    """
    observed = sum(latency.counts) if latency else 0
    if latency is None or not observed or not latency.bounds_s:
        return None
    tops = (*latency.bounds_s, 2.0 * latency.bounds_s[-1])
    return sum(top * count for top, count in zip(tops, latency.counts, strict=True)) / observed


def slow_share(latency: Histogram | None, limit_s: float | None, doubt: float) -> float:
    """The share of requests slower than the limit, at most; 1 where nothing is known. A bucket that the limit
    cuts counts as slow.
    """
    if limit_s is None:
        return 0.0
    if latency is None:
        return 1.0
    observed = sum(latency.counts)
    if observed == 0:
        return 1.0
    quick = sum(
        count for bound, count in zip(latency.bounds_s, latency.counts, strict=False) if bound <= limit_s
    )
    return min(1.0, 1.0 - quick / observed + margin(observed, doubt))

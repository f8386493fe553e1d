"""What a pod should ask for, as the Vertical Pod Autoscaler reckons, and whether history would have borne it.
Pure.

CPU: the 90th percentile of a histogram whose samples lose half their weight each 24 hours. Memory: the same
of the highest use of each 24 hours. Buckets grow by 5 % from 10 mCPU and 10 MB; a percentile is the end of
its bucket. Then the margin, then the floor of the pod, parted among its containers.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

Series = Mapping[int, float]
"""Values by their time, ms since 1970."""

DAY_MS = 86_400_000
GROWTH = 1.05
FIRST_CPU, FIRST_MEMORY = 0.01, 1e7
#: vCPU and bytes that a pod asks for at least.
LEAST_CPU, LEAST_MEMORY = 0.025, 250 * 2**20  # "262144k", as the autoscaler shows it
TARGET, LOWER, UPPER = 0.9, 0.5, 0.95


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Of one container."""

    cpu: float
    """vCPU."""
    memory: float
    """Bytes."""


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What history would have made of it, as shares of the samples."""

    throttled: float
    """Used more CPU than the limit."""
    killed: float
    """Used more memory than the limit; where there is none, than is asked for: evicted first, then."""
    above: float
    """Used more memory than is asked for."""


def percentile(samples: Series, part: float, first: float) -> float | None:
    """The end of the bucket that the part of the decayed weight reaches; None without samples."""
    if not samples:
        return None
    newest = max(samples)
    weights: dict[int, float] = {}
    for at_ms, value in samples.items():
        bucket = _bucket(value, first)
        weights[bucket] = weights.get(bucket, 0.0) + 0.5 ** ((newest - at_ms) / DAY_MS)
    wanted, found = part * sum(weights.values()), 0.0
    for bucket in sorted(weights):
        found += weights[bucket]
        if found >= wanted - 1e-12:
            return _end(bucket, first)
    return _end(max(weights), first)


def daily_peaks(samples: Series) -> Series:
    """The highest of each 24 hours, counted back from the newest; each at the end of its day."""
    if not samples:
        return {}
    newest = max(samples)
    found: dict[int, float] = {}
    for at_ms, value in samples.items():
        day = newest - (newest - at_ms) // DAY_MS * DAY_MS
        found[day] = max(found.get(day, 0.0), value)
    return found


def target(cpu: Series, memory: Series, containers: int, margin: float) -> Size | None:
    """What a container should ask for; None without history."""
    found = percentile(cpu, TARGET, FIRST_CPU), percentile(daily_peaks(memory), TARGET, FIRST_MEMORY)
    if found[0] is None or found[1] is None:
        return None
    return Size(
        cpu=max(found[0] * (1 + margin), LEAST_CPU / containers),
        memory=max(found[1] * (1 + margin), LEAST_MEMORY / containers),
    )


def replay(
    cpu: Series, memory: Series, asks: Size, limit_cpu: float | None, limit_memory: float | None
) -> Replay:
    """The shares of the history that a request with these limits would not have held."""
    return Replay(
        throttled=_above(list(cpu.values()), limit_cpu),
        killed=_above(list(memory.values()), limit_memory if limit_memory is not None else asks.memory),
        above=_above(list(memory.values()), asks.memory),
    )


def bumped(memory: Series) -> float:
    """What a container that was killed for its memory should ask for at least."""
    most = max(memory.values(), default=0.0)
    return max(most * 1.2, most + 100 * 2**20)


def _above(values: Sequence[float], bound: float | None) -> float:
    if bound is None or not values:
        return 0.0
    return sum(value > bound for value in values) / len(values)


def _bucket(value: float, first: float) -> int:
    """Bucket n begins at first * (GROWTH^n - 1) / (GROWTH - 1)."""
    if value < first:
        return 0
    return int(math.log(value * (GROWTH - 1) / first + 1, GROWTH) + 1e-9)


def _end(bucket: int, first: float) -> float:
    return float(first * (GROWTH ** (bucket + 1) - 1) / (GROWTH - 1))

"""What devices did in an interval, from the ledger's buckets. The arithmetic is pure.

Counters are known at the reports that a bucket's ends keep; between two of them they are
taken as growing evenly. What lies before the first or after the last known one is not
guessed: the interval is cut to what is known.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec
from sqlalchemy import Engine, select

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span, Values, bucket_of
from tidewatt_coordinator.ledger.tables import device_bucket
from tidewatt_coordinator.rollout.gates import Tally
from tidewatt_wire.units import MILLIJOULES_PER_JOULE

ENERGY, REQUESTS, VIOLATING, UNMEASURED, UNJUDGED = (
    COUNTERS.index(name) for name in ("energy_mj", "requests", "violating_ms", "unmeasured_ms", "unjudged_ms")
)
#: Energy per request isn't believed where more than this share of the time had no power reading.
MOST_UNMEASURED = 0.01

Knot = tuple[int, Values]


class Interval(msgspec.Struct, frozen=True):
    """From the first to before the last, in milliseconds since 1970 UTC."""

    from_ms: int
    to_ms: int


def tallies(database: Engine, bucket_ms: int, interval: Interval) -> dict[str, Tally]:
    """What every device did in the interval; one that wasn't there is left out."""
    table = device_bucket.c
    # One bucket more on either side, for the knots just outside.
    within = (table.bucket_ms >= bucket_of(interval.from_ms, bucket_ms) - bucket_ms) & (
        table.bucket_ms <= interval.to_ms + bucket_ms
    )
    ends = [table[f"{name}_{end}"] for end in ("least", "greatest") for name in COUNTERS]
    rows = (
        select(table.device, table.epoch, table.first_ms, table.last_ms, *ends)
        .where(within)
        .order_by(table.device, table.epoch, table.bucket_ms)
    )
    lives: dict[tuple[str, str], list[Span]] = {}
    count = len(COUNTERS)
    with database.connect() as connection:
        for device, epoch, first_ms, last_ms, *values in connection.execute(rows):
            span = Span(first_ms, last_ms, tuple(values[:count]), tuple(values[count:]))
            lives.setdefault((device, epoch), []).append(span)
    parts: dict[str, list[Part]] = {}
    for (device, _), spans in lives.items():
        part = part_of(spans, interval, 2 * bucket_ms)
        if part.lived_ms:
            parts.setdefault(device, []).append(part)
    return {device: tally(some) for device, some in parts.items()}


class Part(msgspec.Struct, frozen=True):
    """One counter epoch's share of an interval: what was counted, in how much time."""

    lived_ms: int
    values: Values


def part_of(spans: Iterable[Span], interval: Interval, longest_gap_ms: int) -> Part:
    """What one epoch counted within the interval. `spans` in order of time.

    A silence longer than `longest_gap_ms` is no time lived, and what was counted in it is
    left out: nobody knows when in it that was.
    """
    lived_ms, total = 0, [0] * len(COUNTERS)
    for (start_ms, low), (end_ms, high) in pairwise(_knots(spans)):
        from_ms, to_ms = max(start_ms, interval.from_ms), min(end_ms, interval.to_ms)
        if to_ms <= from_ms or end_ms - start_ms > longest_gap_ms:
            continue
        lived_ms += to_ms - from_ms
        for index, (least, most) in enumerate(zip(low, high, strict=True)):
            at_end = (most - least) * (to_ms - start_ms) // (end_ms - start_ms)
            at_start = (most - least) * (from_ms - start_ms) // (end_ms - start_ms)
            total[index] += at_end - at_start
    return Part(lived_ms, tuple(total))


def tally(parts: Sequence[Part]) -> Tally:
    """One device's epochs together."""
    lived_ms = sum(part.lived_ms for part in parts)
    values = [sum(column) for column in zip(*(part.values for part in parts), strict=True)]
    measured = values[UNMEASURED] <= MOST_UNMEASURED * lived_ms
    return Tally(
        joules=values[ENERGY] / MILLIJOULES_PER_JOULE if measured else None,
        requests=values[REQUESTS],
        violating_ms=values[VIOLATING],
        judged_ms=max(0, lived_ms - values[UNJUDGED]),
    )


def _knots(spans: Iterable[Span]) -> Iterator[Knot]:
    for span in spans:
        yield span.first_ms, span.least
        if span.last_ms > span.first_ms:
            yield span.last_ms, span.greatest

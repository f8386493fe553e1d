"""The ledger's arithmetic. Pure, exact integers.

A device's counters only grow within a counter epoch. Of each time bucket the ledger keeps
the least and the greatest value seen, with their times: merging a report is min and max, so
it is commutative, associative and idempotent. Duplicates, reordering, replays and several
replicas give the same ledger.

What happened in a bucket is the counter at its end minus the counter at its start. Between
two known values the counter is taken as growing evenly, and each boundary value is computed
once and used for both neighbours, so buckets telescope: they sum to the device's own total,
also where the device's clock was set back in between.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

#: The scalar counters of a report, in the order of a Span's values.
COUNTERS = ("energy_mj", "requests", "violating_ms", "unmeasured_ms", "switches", "unjudged_ms")

#: A silence longer than this is not shared out among its buckets but given to the one that
#: ended it. It also bounds the work that a clock jump (1970 to now) can make.
LONGEST_SPREAD_MS = 86_400_000

Values = tuple[int, ...]


class Span(msgspec.Struct, frozen=True):
    """What is known of one device, epoch and bucket: first and last time, least and greatest counters."""

    first_ms: int
    last_ms: int
    least: Values
    greatest: Values


class Slice(msgspec.Struct, frozen=True):
    """What happened in the bucket that begins at `start_ms`: counter differences."""

    start_ms: int
    values: Values


def bucket_of(at_ms: int, bucket_ms: int) -> int:
    """The start of the bucket that holds `at_ms`."""
    return at_ms - at_ms % bucket_ms


def span_of(at_ms: int, values: Sequence[int]) -> Span:
    """The span that one report makes."""
    return Span(at_ms, at_ms, tuple(values), tuple(values))


def merge(one: Span, other: Span) -> Span:
    """Both spans' knowledge in one."""
    return Span(
        min(one.first_ms, other.first_ms),
        max(one.last_ms, other.last_ms),
        tuple(map(min, one.least, other.least)),
        tuple(map(max, one.greatest, other.greatest)),
    )


def slices(
    spans: Iterable[Span], bucket_ms: int, resume: tuple[int, Values] | None = None
) -> Iterator[Slice]:
    """What happened in each bucket of one device and epoch; `spans` in order of time.

    Counters begin at zero with their epoch, so what was counted before the first report is
    given to the first report's bucket, and the slices sum to the last report's counters.

    `resume`: the start of a bucket that has reports, and the counters there. With `spans`
    from that bucket on it gives the very slices that all spans would give from there: the
    boundary stands in for everything before it.
    """
    at_start: Values | None = resume[1] if resume else None
    for boundary, at_boundary in _boundaries(spans, bucket_ms, resume):
        if at_start is None:
            at_start = (0,) * len(at_boundary)
        yield Slice(boundary - bucket_ms, _minus(at_boundary, at_start))
        at_start = at_boundary


def _boundaries(
    spans: Iterable[Span], bucket_ms: int, resume: tuple[int, Values] | None
) -> Iterator[tuple[int, Values]]:
    """The counters at the end of every bucket from the first report's to the last one's."""
    knot = resume
    boundary = resume[0] + bucket_ms if resume else 0
    for span in spans:
        for at_ms, seen in ((span.first_ms, span.least), (span.last_ms, span.greatest)):
            # Counters only grow: one that is less than an earlier one was counted before it, by a clock
            # that was set back since. What it counted is in the earlier bucket already.
            values = tuple(map(max, knot[1], seen)) if knot else seen
            if knot is None:
                boundary = bucket_of(at_ms, bucket_ms) + bucket_ms
            elif at_ms - knot[0] > LONGEST_SPREAD_MS:
                yield boundary, knot[1]
                boundary = bucket_of(at_ms, bucket_ms) + bucket_ms
            else:
                while boundary <= at_ms:
                    yield boundary, _between(knot, (at_ms, values), boundary)
                    boundary += bucket_ms
            knot = (at_ms, values)
    if knot is not None:
        yield boundary, knot[1]


def _between(before: tuple[int, Values], after: tuple[int, Values], at_ms: int) -> Values:
    (from_ms, low), (to_ms, high) = before, after
    return tuple(a + (b - a) * (at_ms - from_ms) // (to_ms - from_ms) for a, b in zip(low, high, strict=True))


def _minus(high: Values, low: Values) -> Values:
    return tuple(b - a for a, b in zip(low, high, strict=True))

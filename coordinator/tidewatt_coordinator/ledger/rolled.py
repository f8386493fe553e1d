"""A life's hours from its spans. Pure, exact integers."""

from collections.abc import Iterable, Sequence

import msgspec

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span, Values, bucket_of, slices

HOUR_MS, DAY_MS = 3_600_000, 86_400_000

ZERO: Values = (0,) * len(COUNTERS)

#: A life: the device and its counter epoch.
Key = tuple[str, str]


class Start(msgspec.Struct, frozen=True):
    """A life to be rolled up from an hour's start; `at`: the counters there, None if nothing is before."""

    key: Key
    from_ms: int
    last_ms: int
    at: Values | None


class Rolled(msgspec.Struct, frozen=True):
    """One life's hours from its start on, and where it can begin next time."""

    hours: dict[int, Values]
    at: dict[int, Values]
    """The counters at the start of each hour."""
    seen: list[int]
    """The hours that have reports, in order."""

    @property
    def resume_ms(self) -> int:
        """The hour before the last that has reports: so reports that are minutes late cost nothing more."""
        return self.seen[-2:][0]


def rolled_of(start: Start, spans: Sequence[Span]) -> Rolled:
    """One life's hours, from the spans since its start."""
    resume = None if start.at is None else (start.from_ms, start.at)
    hours: dict[int, Values] = {}
    at: dict[int, Values] = {}
    sofar = start.at or ZERO
    for piece in slices(spans, HOUR_MS, resume):
        hours[piece.start_ms], at[piece.start_ms] = piece.values, sofar
        sofar = plus(sofar, piece.values)
    seen = sorted({bucket_of(at_ms, HOUR_MS) for span in spans for at_ms in (span.first_ms, span.last_ms)})
    return Rolled(hours, at, seen)


def plus(one: Iterable[int], other: Iterable[int]) -> Values:
    """Counter by counter."""
    return tuple(a + b for a, b in zip(one, other, strict=True))


def minus(one: Iterable[int], other: Iterable[int]) -> Values:
    """Counter by counter."""
    return tuple(a - b for a, b in zip(one, other, strict=True))

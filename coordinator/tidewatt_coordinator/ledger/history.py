"""One device's past as a line: watts, requests and mode by steps of time, for a chart.

Recent times are read from the buckets, longer ones from the hours. A bucket's rows are found by its start
and the device, so what a question costs depends on its length alone, not on how many devices there are.
"""

from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, select

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span, Values, bucket_of, slices
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import device_bucket, hour_use, mode_bucket

HOUR_MS = 3_600_000
#: A line has so many points at the most: a wall screen has no more columns for it.
MOST_POINTS = 600
#: Buckets that are looked for one by one; beyond that the hours are.
MOST_BUCKETS = 2_100
ENERGY, REQUESTS, VIOLATING, UNMEASURED = (
    COUNTERS.index(name) for name in ("energy_mj", "requests", "violating_ms", "unmeasured_ms")
)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What a device did in the step that begins at `at_ms`."""

    at_ms: int
    watts: float | None
    """The mean of the time in which power was measured; null where it never was."""
    requests_rps: float
    violating_share: float
    """Of the time, that in which the promise was broken."""
    mode: str | None
    """The power mode of most of the time; null where only hours are kept."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A device's past. Steps of which nothing is known are left out."""

    device: str
    from_ms: int
    to_ms: int
    step_ms: int
    source: str
    """buckets or hours."""
    points: list[Point]


class _Sum:
    """What is known of one step."""

    def __init__(self) -> None:
        self.values = [0] * len(COUNTERS)
        self.covered_ms = 0
        self.modes: dict[str, int] = {}

    def add(self, values: Values, covered_ms: int) -> None:
        self.values = [a + b for a, b in zip(self.values, values, strict=True)]
        self.covered_ms += covered_ms

    def point(self, at_ms: int) -> Point:
        covered_ms = max(1, self.covered_ms)
        measured_ms = self.covered_ms - self.values[UNMEASURED]
        return Point(
            at_ms=at_ms,
            watts=self.values[ENERGY] / measured_ms if measured_ms > 0 else None,
            requests_rps=self.values[REQUESTS] * 1000 / covered_ms,
            violating_share=min(1.0, self.values[VIOLATING] / covered_ms),
            mode=max(self.modes, key=lambda mode: (self.modes[mode], mode)) if self.modes else None,
        )


def line(ledger: Ledger, device: str, from_ms: int, to_ms: int) -> Line:
    """What is kept of a device between two times; of at most 366 days."""
    in_buckets = (to_ms - from_ms) // ledger.bucket_ms <= MOST_BUCKETS
    grain_ms = ledger.bucket_ms if in_buckets else HOUR_MS
    step_ms = grain_ms * max(1, -(-(to_ms - from_ms) // (grain_ms * MOST_POINTS)))
    begin_ms = bucket_of(max(0, from_ms), step_ms)
    starts = list(range(begin_ms, to_ms + 1, grain_ms))
    sums: dict[int, _Sum] = {}
    with ledger.engine.connect() as connection:
        if in_buckets:
            _add_buckets(connection, device, starts, grain_ms, step_ms, sums)
        else:
            _add_hours(connection, device, starts, to_ms, step_ms, sums)
    points = [sums[at_ms].point(at_ms) for at_ms in sorted(sums) if sums[at_ms].covered_ms > 0]
    return Line(
        device=device,
        from_ms=begin_ms,
        to_ms=to_ms,
        step_ms=step_ms,
        source="buckets" if in_buckets else "hours",
        points=points,
    )


def _add_buckets(
    connection: Connection, device: str, starts: list[int], grain_ms: int, step_ms: int, sums: dict[int, _Sum]
) -> None:
    for spans in _lives(connection, device, starts):
        first, last = spans[0], spans[-1]
        # Counted from the first report on: what was before it belongs to a time that wasn't asked for.
        begun = (bucket_of(first.first_ms, grain_ms), first.least)
        for piece in slices(spans, grain_ms, begun):
            covered_ms = min(piece.start_ms + grain_ms, last.last_ms) - max(piece.start_ms, first.first_ms)
            step = sums.setdefault(bucket_of(piece.start_ms, step_ms), _Sum())
            step.add(piece.values, max(0, covered_ms))
    for start_ms, mode, ms in _modes(connection, device, starts):
        if known := sums.get(bucket_of(start_ms, step_ms)):
            known.modes[mode] = known.modes.get(mode, 0) + ms


def _lives(connection: Connection, device: str, starts: list[int]) -> Iterator[list[Span]]:
    table = device_bucket.c
    rows = (
        select(device_bucket)
        .where(table.bucket_ms.in_(starts), table.device == device)
        .order_by(table.epoch, table.bucket_ms)
    )
    lives: dict[str, list[Span]] = {}
    for row in connection.execute(rows).mappings():
        least, greatest = (tuple(row[f"{name}_{end}"] for name in COUNTERS) for end in ("least", "greatest"))
        lives.setdefault(row["epoch"], []).append(Span(row["first_ms"], row["last_ms"], least, greatest))
    yield from lives.values()


def _modes(connection: Connection, device: str, starts: list[int]) -> Iterator[tuple[int, str, int]]:
    """How long a mode was on, by bucket: how far its counter rose since the bucket before."""
    table = mode_bucket.c
    rows = (
        select(table.epoch, table.mode, table.bucket_ms, table.mode_ms_least, table.mode_ms_greatest)
        .where(table.bucket_ms.in_(starts), table.device == device)
        .order_by(table.epoch, table.mode, table.bucket_ms)
    )
    before: tuple[str, str, int] | None = None
    for epoch, mode, start_ms, least, greatest in connection.execute(rows):
        same = before is not None and before[:2] == (epoch, mode)
        yield start_ms, mode, greatest - (before[2] if before and same else least)
        before = (epoch, mode, greatest)


def _add_hours(
    connection: Connection, device: str, starts: list[int], to_ms: int, step_ms: int, sums: dict[int, _Sum]
) -> None:
    table = hour_use.c
    columns = (table[name] for name in COUNTERS)
    rows = select(table.hour_ms, *columns).where(table.hour_ms.in_(starts), table.device == device)
    for hour_ms, *values in connection.execute(rows):
        step = sums.setdefault(bucket_of(hour_ms, step_ms), _Sum())
        step.add(tuple(values), min(HOUR_MS, to_ms - hour_ms))

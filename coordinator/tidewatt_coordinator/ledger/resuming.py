"""Where the lives that changed can begin to be rolled up again, and their buckets from there on."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, literal, select, tuple_

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span, bucket_of
from tidewatt_coordinator.ledger.rolled import HOUR_MS, Key, Start
from tidewatt_coordinator.ledger.tables import NEVER_MS, day_use, device_bucket, device_life, ledger_fact

#: The fact that says from when on buckets are kept.
DETAIL_FACT = "detail_from_ms"
#: Lives in one transaction: others wait for it no longer than some tenths of a second.
CHUNK = 500
#: Lives that begin anew no longer than this before the newest report are read in one sweep over the
#: buckets since; older ones each by its own keys.
RECENT_MS = 6 * HOUR_MS
#: Buckets named in one statement; SQLite takes 32,766 parameters.
BUCKETS = 2000
#: More than these are not named one by one: the buckets between are read and passed over.
MOST_BUCKETS = 100_000


def starts(connection: Connection, after: Key, bucket_ms: int) -> Iterator[Start]:
    """Some of the lives that wait, after a key, each with where it can begin; their rows are locked."""
    table = device_life.c
    marked = (
        select(
            table.device, table.epoch, table.dirty_ms, table.last_ms, table.resume_ms,
            *(table[f"{name}_resume"] for name in COUNTERS),
        )
        .where(table.dirty_ms < NEVER_MS, tuple_(table.device, table.epoch) > tuple_(*map(literal, after)))
        .order_by(table.device, table.epoch)
        .limit(CHUNK)
        .with_for_update(skip_locked=True)
    )  # fmt: skip
    kept = connection.execute(select(ledger_fact.c.value).where(ledger_fact.c.name == DETAIL_FACT)).scalar()
    detail_ms = int(kept or 0)
    for device, epoch, dirty_ms, last_ms, resume_ms, *resume in connection.execute(marked).all():
        # What is older than the buckets that are kept stands as it was rolled up.
        key, hour_ms = (device, epoch), bucket_of(max(dirty_ms, detail_ms), HOUR_MS)
        if HOUR_MS % bucket_ms:  # a bucket may lie across the hour: no hour can be begun at
            yield Start(key, 0, last_ms, None)
        elif 0 <= resume_ms < hour_ms:
            yield Start(key, resume_ms, last_ms, tuple(resume))
        elif resume_ms < 0 and not detail_ms:  # never rolled up: there is nothing before
            yield Start(key, hour_ms, last_ms, None)
        else:
            yield _late(connection, key, hour_ms, last_ms, detail_ms)


#: Made once: to build a statement costs more than to run it.
_MINE = (day_use.c.device == bindparam("the_device")) & (day_use.c.epoch == bindparam("the_epoch"))
_DAY_BEFORE = (
    select(day_use.c.first_hour_ms, *(day_use.c[f"{name}_at"] for name in COUNTERS))
    .where(
        _MINE,
        day_use.c.day_ms < bindparam("hour_ms"),
        day_use.c.first_hour_ms >= bindparam("detail_ms"),
        day_use.c.first_hour_ms < bindparam("hour_ms"),
    )
    .order_by(day_use.c.day_ms.desc())
    .limit(1)
)
_COUNTED_BEFORE = select(*(func.sum(day_use.c[name]) for name in COUNTERS)).where(
    _MINE, day_use.c.day_ms < bindparam("detail_ms")
)


def _late(connection: Connection, key: Key, hour_ms: int, last_ms: int, detail_ms: int) -> Start:
    """Where to begin for what came late: the last day's first hour with reports before it, if any."""
    asked = {"the_device": key[0], "the_epoch": key[1], "hour_ms": hour_ms, "detail_ms": detail_ms}
    if row := connection.execute(_DAY_BEFORE, asked).first():
        return Start(key, row[0], last_ms, tuple(row[1:]))
    if not detail_ms:
        return Start(key, hour_ms, last_ms, None)
    # It was silent since before the kept detail begins; what it had counted then is the sum of its days.
    sums = connection.execute(_COUNTED_BEFORE, asked).one()
    return Start(key, hour_ms, last_ms, None if sums[0] is None else tuple(map(int, sums)))


def read(
    connection: Connection, bucket_ms: int, starts: Sequence[Start]
) -> Iterator[tuple[Start, list[Span]]]:
    """Each life with its spans from its start on, in order of time."""
    recent_ms = max(start.last_ms for start in starts) - RECENT_MS
    recent = {start.key: start for start in starts if start.from_ms >= recent_ms}
    spans: dict[Key, list[Span]] = defaultdict(list)
    if recent:
        since = min(start.from_ms for start in recent.values())
        names = sorted({device for device, _ in recent})
        swept = _spans_where(device_bucket.c.bucket_ms >= since, device_bucket.c.device.in_(names))
        for key, at_bucket_ms, span in _fetched(connection, swept):
            if key in recent and at_bucket_ms >= recent[key].from_ms:
                spans[key].append(span)
    for start in starts:
        if start.key not in recent:
            spans[start.key] = list(read_one(connection, bucket_ms, start))
        yield start, spans[start.key]


def read_one(connection: Connection, bucket_ms: int, start: Start) -> Iterator[Span]:
    """One life's spans from its start on, in order of time."""
    table = device_bucket.c
    mine = (table.device == start.key[0]) & (table.epoch == start.key[1])
    buckets = range(bucket_of(start.from_ms, bucket_ms), start.last_ms + 1, bucket_ms)
    if len(buckets) > MOST_BUCKETS:
        since = table.bucket_ms.between(buckets[0], start.last_ms)
        yield from (span for _, _, span in _fetched(connection, _spans_where(since, mine)))
        return
    for first in range(0, len(buckets), BUCKETS):
        named = table.bucket_ms.in_(buckets[first : first + BUCKETS])
        yield from (span for _, _, span in _fetched(connection, _spans_where(named, mine)))


def _spans_where(*conditions: Any) -> Select[Any]:
    table = device_bucket.c
    ends = [table[f"{name}_{end}"] for end in ("least", "greatest") for name in COUNTERS]
    return (
        select(table.device, table.epoch, table.bucket_ms, table.first_ms, table.last_ms, *ends)
        .where(*conditions)
        .order_by(table.bucket_ms)
    )


def _fetched(connection: Connection, spans: Select[Any]) -> Iterator[tuple[Key, int, Span]]:
    count = len(COUNTERS)
    for device, epoch, bucket_ms, first_ms, last_ms, *values in connection.execute(spans):
        yield (
            (device, epoch),
            bucket_ms,
            Span(first_ms, last_ms, tuple(values[:count]), tuple(values[count:])),
        )

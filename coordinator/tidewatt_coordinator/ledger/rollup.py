"""Hours, days and sites, rolled up from the buckets, only where these changed. Exact.

Merging reports marks each life (a device in one counter epoch) with the earliest time at
which its buckets changed. Rolling up takes the marked lives, works out their hours again from
a little before that time on, and writes what differs. An hour is the counter at its end minus
the counter at its start by the same arithmetic as a bucket's, so hours are the sums of their
buckets, days of their hours, and all of a life's hours sum to the device's own counters.

What comes out depends on the buckets alone, not on when or in how many steps it was rolled up.
The mark is set in the transaction that changes the buckets and taken away in the one that
rolls them up, under the lock of the life's row: several replicas may do both at once.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, func, select, tuple_, update

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span, Values, bucket_of, slices
from tidewatt_coordinator.ledger.merging import Row, Rule, merge_rows
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import (
    NEVER_MS,
    day_use,
    day_version,
    device_bucket,
    device_life,
    device_site,
    hour_use,
    ledger_fact,
    site_day,
)

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
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

ZERO: Values = (0,) * len(COUNTERS)
NEW: dict[str, Rule] = dict.fromkeys(COUNTERS, "new")
SUM: dict[str, Rule] = dict.fromkeys(COUNTERS, "sum")
DAY_RULES: dict[str, Rule] = {
    "site": "new",
    **NEW,
    "first_hour_ms": "new",
    **dict.fromkeys((f"{name}_at" for name in COUNTERS), "new"),
}

Key = tuple[str, str]


class Start(msgspec.Struct, frozen=True):
    """A life to be rolled up from an hour's start; `at`: the counters there, None if nothing is before."""

    key: Key
    from_ms: int
    last_ms: int
    at: Values | None


class Day(msgspec.Struct, frozen=True):
    """A life's day: its use, the site, the first hour that has reports (-1: none) and the counters there."""

    site: str
    values: Values
    first_hour_ms: int
    at: Values


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


def roll_up(ledger: Ledger) -> int:
    """Roll up every life that changed; how many those were. It may be stopped at any moment."""
    count, after = 0, ("", "")
    while True:
        rolled: list[Key] = ledger.transact(partial(_roll_some, ledger, after))
        if not rolled:
            return count
        count += len(rolled)
        after = rolled[-1]


def place(ledger: Ledger, sites: Mapping[str, str]) -> int:
    """Say where devices stand; how many that was news of.

    A day stays with the site at which the device stood when the day was first rolled up; days
    from before its site was known go to the first one.
    """
    with ledger.engine.connect() as connection:
        known = _pairs(connection, select(device_site.c.device, device_site.c.site))
    news = {device: site for device, site in sites.items() if known.get(device) != site}
    for start in range(0, len(news), CHUNK):
        some = dict(sorted(news.items())[start : start + CHUNK])
        ledger.transact(partial(_place_some, some, known))
    return len(news)


def rolled_of(start: Start, spans: Sequence[Span]) -> Rolled:
    """One life's hours, from the spans since its start."""
    resume = None if start.at is None else (start.from_ms, start.at)
    hours: dict[int, Values] = {}
    at: dict[int, Values] = {}
    sofar = start.at or ZERO
    for piece in slices(spans, HOUR_MS, resume):
        hours[piece.start_ms], at[piece.start_ms] = piece.values, sofar
        sofar = _plus(sofar, piece.values)
    seen = sorted({bucket_of(at_ms, HOUR_MS) for span in spans for at_ms in (span.first_ms, span.last_ms)})
    return Rolled(hours, at, seen)


def _roll_some(ledger: Ledger, after: Key, connection: Connection) -> list[Key]:
    starts = list(_starts(connection, after, ledger.bucket_ms))
    if not starts:
        return []
    rolled = {
        start.key: rolled_of(start, spans) for start, spans in _read(connection, ledger.bucket_ms, starts)
    }
    changed = _changed_hours(connection, starts, rolled)
    _write_days(connection, rolled, changed)
    hours = [
        (hour_ms, *key, *values)
        for key, differences in changed.items()
        for hour_ms, values in ((hour_ms, rolled[key].hours[hour_ms]) for hour_ms in differences)
    ]
    merge_rows(connection, hour_use, NEW, sorted(hours))
    _unmark(connection, rolled)
    return [start.key for start in starts]


def _starts(connection: Connection, after: Key, bucket_ms: int) -> Iterator[Start]:
    table = device_life.c
    marked = (
        select(
            table.device, table.epoch, table.dirty_ms, table.last_ms, table.resume_ms,
            *(table[f"{name}_resume"] for name in COUNTERS),
        )
        .where(table.dirty_ms < NEVER_MS, tuple_(table.device, table.epoch) > tuple_(*after))
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


def _read(
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
            spans[start.key] = list(_read_one(connection, bucket_ms, start))
        yield start, spans[start.key]


def _read_one(connection: Connection, bucket_ms: int, start: Start) -> Iterator[Span]:
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


def _changed_hours(
    connection: Connection, starts: Iterable[Start], rolled: Mapping[Key, Rolled]
) -> dict[Key, dict[int, Values]]:
    """By how much each hour differs from what is kept; hours that don't are left out."""
    changed: dict[Key, dict[int, Values]] = {start.key: dict(rolled[start.key].hours) for start in starts}
    table = hour_use.c
    hours = sorted({hour_ms for one in rolled.values() for hour_ms in one.hours})
    names = sorted({device for device, _ in rolled})
    for first in range(0, len(hours), BUCKETS):
        kept = select(table.device, table.epoch, table.hour_ms, *(table[name] for name in COUNTERS)).where(
            table.hour_ms.in_(hours[first : first + BUCKETS]), table.device.in_(names)
        )
        for device, epoch, hour_ms, *values in connection.execute(kept):
            differences = changed.get((device, epoch), {})
            if hour_ms in differences:
                difference = _minus(differences[hour_ms], values)
                if any(difference):
                    differences[hour_ms] = difference
                else:
                    del differences[hour_ms]
    return changed


def _write_days(
    connection: Connection, rolled: Mapping[Key, Rolled], changed: Mapping[Key, Mapping[int, Values]]
) -> None:
    days = sorted({bucket_of(hour_ms, DAY_MS) for one in rolled.values() for hour_ms in one.hours})
    names = sorted({device for device, _ in rolled})
    kept = _days(connection, days, names)
    sites = _sites(connection, names)
    rows: list[Row] = []
    by_site: dict[tuple[int, str], Values] = {}
    for key, one in rolled.items():
        differences: dict[int, Values] = {}
        for hour_ms, values in changed[key].items():
            day_ms = bucket_of(hour_ms, DAY_MS)
            differences[day_ms] = _plus(differences.get(day_ms, ZERO), values)
        for day_ms in sorted({bucket_of(hour_ms, DAY_MS) for hour_ms in one.hours}):
            before = kept.get((day_ms, *key)) or Day(sites.get(key[0], ""), ZERO, -1, ZERO)
            difference = differences.get(day_ms, ZERO)
            day = _day_after(before, day_ms, one, difference)
            if day != before:
                rows.append((day_ms, *key, day.site, *day.values, day.first_hour_ms, *day.at))
            if any(difference):
                place = (day_ms, day.site)
                by_site[place] = _plus(by_site.get(place, ZERO), difference)
    merge_rows(connection, day_use, DAY_RULES, sorted(rows))
    merge_rows(connection, site_day, SUM, [(*place, *values) for place, values in sorted(by_site.items())])
    new = sorted({day_ms for day_ms, _ in by_site})
    merge_rows(connection, day_version, {"version": "sum"}, [(day_ms, 1) for day_ms in new])


def _day_after(before: Day, day_ms: int, one: Rolled, difference: Values) -> Day:
    first = min(one.hours)
    here = [hour_ms for hour_ms in one.seen if bucket_of(hour_ms, DAY_MS) == day_ms]
    first_hour_ms, at = before.first_hour_ms, before.at
    if here and not 0 <= first_hour_ms < first:
        first_hour_ms, at = here[0], one.at[here[0]]
    return Day(before.site, _plus(before.values, difference), first_hour_ms, at)


def _days(connection: Connection, days: list[int], names: list[str]) -> dict[tuple[int, str, str], Day]:
    table, count = day_use.c, len(COUNTERS)
    found = {}
    columns = [
        *(table[name] for name in COUNTERS),
        table.first_hour_ms,
        *(table[f"{n}_at"] for n in COUNTERS),
    ]
    for first in range(0, len(days), BUCKETS):
        kept = select(table.day_ms, table.device, table.epoch, table.site, *columns).where(
            table.day_ms.in_(days[first : first + BUCKETS]), table.device.in_(names)
        )
        for day_ms, device, epoch, site, *values in connection.execute(kept):
            day = Day(site, tuple(values[:count]), values[count], tuple(values[count + 1 :]))
            found[day_ms, device, epoch] = day
    return found


def _sites(connection: Connection, names: list[str]) -> dict[str, str]:
    standing = select(device_site.c.device, device_site.c.site).where(device_site.c.device.in_(names))
    return _pairs(connection, standing)


def _pairs(connection: Connection, rows: Select[Any]) -> dict[str, str]:
    return {str(device): str(site) for device, site in connection.execute(rows)}


def _unmark(connection: Connection, rolled: Mapping[Key, Rolled]) -> None:
    done = (
        update(device_life)
        .where(device_life.c.device == bindparam("the_device"), device_life.c.epoch == bindparam("the_epoch"))
        .values(dirty_ms=NEVER_MS)
    )
    rows = []
    for (device, epoch), one in rolled.items():
        resume_ms = one.resume_ms if one.seen else -1
        at = dict(zip((f"{name}_resume" for name in COUNTERS), one.at.get(resume_ms, ZERO), strict=True))
        rows.append({"the_device": device, "the_epoch": epoch, "resume_ms": resume_ms, **at})
    named: dict[str, Any] = {
        name: bindparam(name) for name in ("resume_ms", *(f"{name}_resume" for name in COUNTERS))
    }
    connection.execute(done.values(named), rows)


def _place_some(sites: Mapping[str, str], known: Mapping[str, str], connection: Connection) -> None:
    lives = select(device_life.c.device).where(device_life.c.device.in_(list(sites)))
    connection.execute(lives.order_by(device_life.c.device, device_life.c.epoch).with_for_update()).all()
    merge_rows(connection, device_site, {"site": "new"}, sorted(sites.items()))
    first = [device for device in sites if not known.get(device)]
    table = day_use.c
    homeless = (table.site == "") & table.device.in_(first)
    by_site: dict[tuple[int, str], Values] = {}
    rows = connection.execute(
        select(table.day_ms, table.device, *(table[name] for name in COUNTERS)).where(homeless)
    )
    for day_ms, device, *values in rows.all():
        if sites[device]:
            for place, difference in (
                ((day_ms, ""), _minus(ZERO, values)),
                ((day_ms, sites[device]), values),
            ):
                by_site[place] = _plus(by_site.get(place, ZERO), difference)
    moved = (
        update(day_use)
        .where(table.site == "", table.device == bindparam("the_device"))
        .values(site=bindparam("to"))
    )
    if by_site:
        connection.execute(moved, [{"the_device": device, "to": sites[device]} for device in first])
    merge_rows(connection, site_day, SUM, [(*place, *values) for place, values in sorted(by_site.items())])
    new = sorted({day_ms for day_ms, _ in by_site})
    merge_rows(connection, day_version, {"version": "sum"}, [(day_ms, 1) for day_ms in new])


def _plus(one: Iterable[int], other: Iterable[int]) -> Values:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _minus(one: Iterable[int], other: Iterable[int]) -> Values:
    return tuple(a - b for a, b in zip(one, other, strict=True))

"""What fixed modes would have used, kept as sums by day, and worked out anew where buckets changed.

Rolling up marks a life with the earliest change that was not compared yet. Each of its days from
there on is reckoned from the counters at the end of the day before (its knot) to those of its own
last report, under the model and the promise that hold then, and the days' sums change by the
difference. So looking at the comparison reads sums alone.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, literal, select, tuple_, update

from tidewatt_coordinator.ledger.arithmetic import Span, bucket_of
from tidewatt_coordinator.ledger.asleep import Asleep, days_of
from tidewatt_coordinator.ledger.baselines import DeviceModel, Part, parts
from tidewatt_coordinator.ledger.merging import Row, Rule, merge_rows
from tidewatt_coordinator.ledger.resuming import BUCKETS, DETAIL_FACT, read_one
from tidewatt_coordinator.ledger.rolled import DAY_MS, Key, Start
from tidewatt_coordinator.ledger.store import Ledger, Life
from tidewatt_coordinator.ledger.stretches import Knot, knot_after, stretches
from tidewatt_coordinator.ledger.tables import (
    NEVER_MS,
    compared_day,
    compared_life,
    device_life,
    ledger_fact,
    mode_bucket,
)
from tidewatt_wire.sleeping import ASLEEP

#: Lives in one transaction: a day of a life takes some hundredths of a second, in which others wait.
CHUNK = 10
#: Marked lives that are looked up at once.
LOOKED_UP = 500

Models = Callable[[str], DeviceModel | None]
Day = dict[str, Part]

_SUM: dict[str, Rule] = dict.fromkeys(("lives", "energy_mj", "violating_ms", "lived_ms"), "sum")


def waiting(ledger: Ledger, most: int) -> int:
    """How many lives are to be rolled up or compared, counted up to `most`."""
    table = device_life.c
    with ledger.engine.connect() as connection:
        return sum(
            len(connection.execute(select(table.epoch).where(mark < NEVER_MS).limit(most)).all())
            for mark in (table.dirty_ms, table.compare_ms)
        )


def compare_changed(ledger: Ledger, model_of: Models) -> int:
    """Compare every life that changed and whose device has a model; how many those were."""
    count, after = 0, ("", "")
    table = device_life.c
    while True:
        marked = (
            select(table.device, table.epoch)
            .where(
                table.compare_ms < NEVER_MS, tuple_(table.device, table.epoch) > tuple_(*map(literal, after))
            )
            .order_by(table.device, table.epoch)
            .limit(LOOKED_UP)
        )
        with ledger.engine.connect() as connection:
            keys: list[Key] = [(device, epoch) for device, epoch in connection.execute(marked)]
        if not keys:
            return count
        known = {key: model for key in keys if (model := model_of(key[0]))}
        some = list(known.items())
        for start in range(0, len(some), CHUNK):
            chunk = dict(some[start : start + CHUNK])
            count += int(ledger.transact(partial(_compare_some, ledger.bucket_ms, chunk)))
        after = keys[-1]


def sums_by_name(ledger: Ledger, from_ms: int = 0, to_ms: int = NEVER_MS) -> dict[str, Part]:
    """The fleet's parts over all days that begin in an interval, by name; of days whose lives all have it
    where it is a mode's.
    """
    table = compared_day.c
    names = ("energy_mj", "violating_ms", "lived_ms", "lives")
    rows = (
        select(table.name, *(func.sum(table[name]) for name in names))
        .where(table.day_ms >= from_ms, table.day_ms < to_ms)
        .group_by(table.name)
    )
    with ledger.engine.connect() as connection:
        return {
            name: Part(*(int(value) for value in values))
            for name, *values in connection.execute(rows)
            if values[-1]
        }


def trim(ledger: Ledger) -> None:
    """Let go of days that can't change any more; of each life the last of them stays, as its knot."""
    later = compared_life.alias("later")
    mine = (later.c.device == compared_life.c.device) & (later.c.epoch == compared_life.c.epoch)

    def trimmed(connection: Connection) -> None:
        cut_ms = _detail_ms(connection) - DAY_MS
        follows = select(later.c.day_ms).where(
            mine, later.c.day_ms > compared_life.c.day_ms, later.c.day_ms < cut_ms
        )
        if cut_ms > 0:
            connection.execute(delete(compared_life).where(compared_life.c.day_ms < cut_ms, follows.exists()))

    ledger.transact(trimmed)


def _compare_some(bucket_ms: int, models: dict[Key, DeviceModel], connection: Connection) -> int:
    table = device_life.c
    mine = tuple_(table.device, table.epoch).in_(list(models))
    marked = select(table.device, table.epoch, table.compare_ms, table.last_ms).where(
        mine, table.compare_ms < NEVER_MS
    )
    detail_ms = _detail_ms(connection)
    differences: dict[tuple[int, str], Part] = {}
    rows: list[Row] = []
    lives = connection.execute(marked.with_for_update(skip_locked=True)).all()
    for device, epoch, compare_ms, last_ms in lives:
        key = (device, epoch)
        first_ms = _day(max(compare_ms, detail_ms), bucket_ms)
        before = _kept(connection, key, first_ms)
        knot = _knot(connection, key, first_ms)
        days = list(_days(connection, bucket_ms, Start(key, first_ms, last_ms, None)))
        asleep = days_of(connection, key) if any(ASLEEP in life.modes for _, life in days) else {}
        for day_ms, life in days:
            if knot is None and detail_ms:  # what came before it is no longer known
                knot = Knot(life.spans[0].first_ms, life.spans[0].least, {})
            after = knot_after(life, knot)
            measured_mj = after.values[0] - (knot.values[0] if knot else 0)
            asleep_mj = asleep.get(day_ms, Asleep()).energy_mj
            day = parts(list(stretches(life, bucket_ms, knot)), models[key], measured_mj, asleep_mj)
            rows.append((*key, day_ms, _json(day), _json(after)))
            _add(differences, day_ms, day, 1)
            _add(differences, day_ms, before.get(day_ms, {}), -1)
            knot = after
    merge_rows(connection, compared_life, {"parts": "new", "knot": "new"}, sorted(rows))
    sums = [
        (*place, one.lives, one.energy_mj, one.violating_ms, one.lived_ms)
        for place, one in sorted(differences.items())
    ]
    merge_rows(connection, compared_day, _SUM, sums)
    done = tuple_(table.device, table.epoch).in_([(device, epoch) for device, epoch, *_ in lives])
    connection.execute(update(device_life).where(done).values(compare_ms=NEVER_MS))
    return len(lives)


def _add(sums: dict[tuple[int, str], Part], day_ms: int, day: Day, sign: int) -> None:
    for name, one in day.items():
        place = (day_ms, name)
        sums[place] = sums.get(place, Part(0, lives=0)).plus(one, sign)


def _kept(connection: Connection, key: Key, from_ms: int) -> dict[int, Day]:
    table = compared_life.c
    rows = select(table.day_ms, table.parts).where(
        table.device == key[0], table.epoch == key[1], table.day_ms >= from_ms
    )
    return {day_ms: msgspec.json.decode(text, type=Day) for day_ms, text in connection.execute(rows)}


def _knot(connection: Connection, key: Key, before_ms: int) -> Knot | None:
    table = compared_life.c
    row = (
        select(table.knot)
        .where(table.device == key[0], table.epoch == key[1], table.day_ms < before_ms)
        .order_by(table.day_ms.desc())
        .limit(1)
    )
    text = connection.execute(row).scalar()
    return None if text is None else msgspec.json.decode(text, type=Knot)


def _days(connection: Connection, bucket_ms: int, start: Start) -> Iterator[tuple[int, Life]]:
    """A life from its start on, day by day, days without reports left out."""
    days: dict[int, Life] = {}
    for span in read_one(connection, bucket_ms, start):
        day_ms = _day(span.first_ms, bucket_ms)
        if day_ms >= start.from_ms:
            days.setdefault(day_ms, Life(*start.key, [], {})).spans.append(span)
    for mode, span in _modes(connection, bucket_ms, start):
        day_ms = _day(span.first_ms, bucket_ms)
        if day_ms in days:
            days[day_ms].modes.setdefault(mode, []).append(span)
    yield from sorted(days.items())


def _day(at_ms: int, bucket_ms: int) -> int:
    """The day of the bucket that holds a moment: buckets of odd lengths may lie across midnight."""
    return bucket_of(bucket_of(at_ms, bucket_ms), DAY_MS)


def _modes(connection: Connection, bucket_ms: int, start: Start) -> Iterator[tuple[str, Span]]:
    table = mode_bucket.c
    columns = (table.first_ms, table.last_ms, table.mode_ms_least, table.mode_ms_greatest)
    buckets = range(bucket_of(start.from_ms, bucket_ms), start.last_ms + 1, bucket_ms)
    for first in range(0, len(buckets), BUCKETS):
        named = table.bucket_ms.in_(buckets[first : first + BUCKETS])
        mine = (table.device == start.key[0]) & (table.epoch == start.key[1])
        rows = select(table.mode, *columns).where(named, mine).order_by(table.bucket_ms)
        for mode, first_ms, last_ms, least, greatest in connection.execute(rows):
            yield mode, Span(first_ms, last_ms, (least,), (greatest,))


def _detail_ms(connection: Connection) -> int:
    kept = connection.execute(select(ledger_fact.c.value).where(ledger_fact.c.name == DETAIL_FACT))
    return int(kept.scalar() or 0)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()

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

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, case, select, update

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Values
from tidewatt_coordinator.ledger.daybook import NEW, write_days
from tidewatt_coordinator.ledger.merging import merge_rows
from tidewatt_coordinator.ledger.resuming import BUCKETS, read, starts
from tidewatt_coordinator.ledger.rolled import ZERO, Key, Rolled, Start, minus, rolled_of
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import NEVER_MS, device_life, hour_use


def roll_up(ledger: Ledger) -> int:
    """Roll up every life that changed; how many those were. It may be stopped at any moment."""
    count, after = 0, ("", "")
    while True:
        rolled: list[Key] = ledger.transact(partial(_roll_some, ledger, after))
        if not rolled:
            return count
        count += len(rolled)
        after = rolled[-1]


def _roll_some(ledger: Ledger, after: Key, connection: Connection) -> list[Key]:
    begun = list(starts(connection, after, ledger.bucket_ms))
    if not begun:
        return []
    rolled = {
        start.key: rolled_of(start, spans) for start, spans in read(connection, ledger.bucket_ms, begun)
    }
    changed = _changed_hours(connection, begun, rolled)
    write_days(connection, rolled, changed)
    hours = [
        (hour_ms, *key, *values)
        for key, differences in changed.items()
        for hour_ms, values in ((hour_ms, rolled[key].hours[hour_ms]) for hour_ms in differences)
    ]
    merge_rows(connection, hour_use, NEW, sorted(hours))
    _unmark(connection, rolled)
    return [start.key for start in begun]


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
                difference = minus(differences[hour_ms], values)
                if any(difference):
                    differences[hour_ms] = difference
                else:
                    del differences[hour_ms]
    return changed


def _unmark(connection: Connection, rolled: Mapping[Key, Rolled]) -> None:
    life = device_life.c
    compare_ms = case((life.dirty_ms < life.compare_ms, life.dirty_ms), else_=life.compare_ms)
    done = (
        update(device_life)
        .where(life.device == bindparam("the_device"), life.epoch == bindparam("the_epoch"))
        .values(dirty_ms=NEVER_MS, compare_ms=compare_ms)
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

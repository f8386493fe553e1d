"""Time and energy asleep: of no board's own measuring, so apart from all that is measured.

Kept are the greatest counters of each life, and of each of its days: merging a report is max, so the order of
reports, and how often each comes, make no difference. A day's part is what the counters had grown by
until its end, so a life's days sum to its counters exactly; a nap over midnight is the next day's.
Who never sleeps has no rows.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec
from sqlalchemy import Connection, func, select

from tidewatt_coordinator.ledger.arithmetic import bucket_of
from tidewatt_coordinator.ledger.merging import Rule, merge_rows
from tidewatt_coordinator.ledger.rolled import DAY_MS, Key
from tidewatt_coordinator.ledger.tables import asleep_day, asleep_life
from tidewatt_wire.messages import Report
from tidewatt_wire.sleeping import ASLEEP

GREATEST: dict[str, Rule] = {"asleep_mj": "greatest", "asleep_ms": "greatest"}


class Asleep(msgspec.Struct, frozen=True):
    """Energy by the measured sleep watts, which is an estimate, and time."""

    energy_mj: int = 0
    ms: int = 0

    def plus(self, other: "Asleep") -> "Asleep":
        """Both together."""
        return Asleep(self.energy_mj + other.energy_mj, self.ms + other.ms)


class Rows(msgspec.Struct, frozen=True):
    """What reports tell of sleep."""

    lives: dict[Key, Asleep]
    days: dict[tuple[str, str, int], Asleep]


def rows_of(reports: Iterable[Report]) -> Rows:
    """The greatest counters of each life and day."""
    rows = Rows({}, {})
    for report in reports:
        counters = report.counters
        asleep_ms = counters.mode_ms.get(ASLEEP, 0)
        if not asleep_ms and not counters.asleep_mj:
            continue
        said = Asleep(counters.asleep_mj, asleep_ms)
        life = (report.device, report.epoch)
        day = (*life, bucket_of(report.at_ms, DAY_MS))
        rows.lives[life] = _greater(rows.lives.get(life), said)
        rows.days[day] = _greater(rows.days.get(day), said)
    return rows


def merge_asleep(connection: Connection, rows: Rows) -> None:
    """Merge them with what is kept."""
    lives = [(*key, one.energy_mj, one.ms) for key, one in sorted(rows.lives.items())]
    merge_rows(connection, asleep_life, GREATEST, lives)
    days = [(*key, one.energy_mj, one.ms) for key, one in sorted(rows.days.items())]
    merge_rows(connection, asleep_day, GREATEST, days)


def by_device(connection: Connection) -> dict[str, Asleep]:
    """What every device that ever slept has counted, over all its epochs."""
    table = asleep_life.c
    sums = (func.sum(table.asleep_mj), func.sum(table.asleep_ms))
    rows = select(table.device, *sums).group_by(table.device).order_by(table.device)
    return {device: Asleep(int(mj), int(ms)) for device, mj, ms in connection.execute(rows)}


def days_of(connection: Connection, life: Key) -> dict[int, Asleep]:
    """What a life counted on each of its days."""
    table = asleep_day.c
    rows = (
        select(table.day_ms, table.asleep_mj, table.asleep_ms)
        .where(table.device == life[0], table.epoch == life[1])
        .order_by(table.day_ms)
    )
    return dict(_grown((day_ms, Asleep(mj, ms)) for day_ms, mj, ms in connection.execute(rows)))


def on_day(connection: Connection, day_ms: int) -> dict[str, Asleep]:
    """What each device that slept counted on a day (UTC)."""
    table = asleep_day.c
    there = select(table.device, table.epoch).where(table.day_ms == day_ms).subquery()
    rows = (
        select(table.device, table.epoch, table.day_ms, table.asleep_mj, table.asleep_ms)
        .join(there, (there.c.device == table.device) & (there.c.epoch == table.epoch))
        .where(table.day_ms <= day_ms)
        .order_by(table.device, table.epoch, table.day_ms)
    )
    found: dict[str, Asleep] = {}
    for (device, _), some in groupby(connection.execute(rows), key=lambda row: (row[0], row[1])):
        grown = dict(_grown((day, Asleep(mj, ms)) for _, _, day, mj, ms in some))
        found[device] = found.get(device, Asleep()).plus(grown[day_ms])
    return found


def _grown(days: Iterable[tuple[int, Asleep]]) -> Iterator[tuple[int, Asleep]]:
    before = Asleep()
    for day_ms, said in days:
        # A clock that was set back has a later day end with less: that is in the earlier one already.
        until = _greater(before, said)
        yield day_ms, Asleep(until.energy_mj - before.energy_mj, until.ms - before.ms)
        before = until


def _greater(one: Asleep | None, other: Asleep) -> Asleep:
    if one is None:
        return other
    return Asleep(max(one.energy_mj, other.energy_mj), max(one.ms, other.ms))

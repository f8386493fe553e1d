"""How long detail is kept, and PostgreSQL's partitions: a table a month, dropped whole when it is old.

Buckets older than asked for go; hours, days and each life's greatest counters stay, so totals
and sums are what they were. What can't be rolled up again, because its buckets are gone,
is no longer taken (`detail_from`).
"""

from datetime import datetime, timezone
from functools import partial
from itertools import pairwise

from sqlalchemy import Connection, Table, delete, func, select, update

from tidewatt_coordinator.ledger.merging import merge_rows
from tidewatt_coordinator.ledger.resuming import DETAIL_FACT
from tidewatt_coordinator.ledger.rolled import DAY_MS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import device_bucket, device_life, hour_use, ledger_fact, mode_bucket

#: The tables in partitions, with the column that they are cut by.
PARTED = ((device_bucket, "bucket_ms"), (mode_bucket, "bucket_ms"), (hour_use, "hour_ms"))


def detail_from(ledger: Ledger) -> int:
    """Reports from before this can't be taken any more; 0 while all detail is kept."""
    return int(ledger.fact(DETAIL_FACT) or 0)


def forget(ledger: Ledger, before_ms: int) -> int:
    """Drop the buckets of whole days before `before_ms`; from when on detail is kept now.

    What is still to be rolled up stays, with the day before it.
    """
    kept_ms = detail_from(ledger)

    def forgotten(connection: Connection) -> int:
        waiting = connection.execute(select(func.min(device_life.c.dirty_ms))).scalar()
        cut_ms = before_ms - before_ms % DAY_MS
        if waiting is not None:
            cut_ms = min(cut_ms, waiting - waiting % DAY_MS - DAY_MS)
        if cut_ms <= kept_ms:
            return kept_ms
        merge_rows(connection, ledger_fact, {"value": "new"}, [(DETAIL_FACT, str(cut_ms))])
        _drop(connection, cut_ms)
        return cut_ms

    return int(ledger.transact(forgotten))


def part(ledger: Ledger, now_ms: int) -> None:
    """Make the partitions of this month and the next; nothing on SQLite."""
    if ledger.engine.dialect.name != "postgresql":
        return
    for start_ms, end_ms in months(now_ms):
        for table, key in PARTED:
            ledger.transact(partial(_attach, table, key, start_ms, end_ms))


def months(now_ms: int) -> list[tuple[int, int]]:
    """This month and the next as (start, end), UTC."""
    now = datetime.fromtimestamp(now_ms / 1000, timezone.utc)
    firsts = [
        datetime(
            now.year + (now.month - 1 + ahead) // 12, (now.month - 1 + ahead) % 12 + 1, 1, tzinfo=timezone.utc
        )
        for ahead in range(3)
    ]
    marks = [int(first.timestamp()) * 1000 for first in firsts]
    return list(pairwise(marks))


def _drop(connection: Connection, cut_ms: int) -> None:
    for table in (device_bucket, mode_bucket):
        if connection.dialect.name == "postgresql":
            for name, end_ms in _parts(connection, table):
                if end_ms <= cut_ms:
                    connection.exec_driver_sql(f"DROP TABLE {name}")
        connection.execute(delete(table).where(table.c.bucket_ms < cut_ms))
    # A life that would begin to be rolled up before the cut finds its start by its days instead.
    early = device_life.c.resume_ms < cut_ms
    connection.execute(update(device_life).where(early).values(resume_ms=-1))


def _attach(table: Table, key: str, start_ms: int, end_ms: int, connection: Connection) -> None:
    """One partition. What came for it before it was there lies in the rest, and moves."""
    name = f"{table.name}_{start_ms}_{end_ms}"
    if any(name == known for known, _ in _parts(connection, table)):
        return
    within = f"{key} >= {start_ms} AND {key} < {end_ms}"
    connection.exec_driver_sql(f"LOCK TABLE {table.name} IN ACCESS EXCLUSIVE MODE")
    if any(name == known for known, _ in _parts(connection, table)):
        return  # another replica made it while this one waited
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL)")
    connection.exec_driver_sql(
        f"WITH moved AS (DELETE FROM {table.name}_rest WHERE {within} RETURNING *) "  # noqa: S608 - names of ours
        f"INSERT INTO {name} SELECT * FROM moved"
    )
    connection.exec_driver_sql(
        f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM ({start_ms}) TO ({end_ms})"
    )


def _parts(connection: Connection, table: Table) -> list[tuple[str, int]]:
    """A table's partitions but for the rest, by name, with their ends, which are in the name."""
    rows = connection.exec_driver_sql(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "  # noqa: S608 - ours
        f"WHERE i.inhparent = '{table.name}'::regclass"
    )
    return [(name, int(name.rpartition("_")[2])) for (name,) in rows if not name.endswith("_rest")]

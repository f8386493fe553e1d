"""Costs by day of UTC, service and tags, summed by the database: exactly, however many charges there are.

The edge's come from their kept sums (`costs.edge_days`), unless a tag names single devices.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, Subquery, cast, func, literal, select, text
from sqlalchemy.dialects import postgresql

from tidewatt_coordinator.costs.attribution import within
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.days import DAY_MS, Window
from tidewatt_coordinator.costs.edge_days import EDGE, in_one_day, money, refresh, sums, tells
from tidewatt_coordinator.costs.series import DayCost
from tidewatt_coordinator.costs.store import to_charge
from tidewatt_coordinator.ledger.tables import OF_CLOUD, OVER_DAYS, edge_day
from tidewatt_coordinator.ledger.tables import charge as table

NAMES = ("currency", "kind", "service")
SUMMED = ("billed", "effective")
PARTS = tuple(f"{name}_{part}" for name in SUMMED for part in range(3))
#: What can't stand in a JSON path on every database.
_UNSAFE = ('"', "\\")


def daily_costs(
    database: Engine, window: Window, sources: Sequence[str], tags: Sequence[str] = ()
) -> Iterator[DayCost]:
    """The costs of a window of whole days. CostError for a tag's name that no database can look for."""
    for tag in tags:
        if any(sign in tag for sign in _UNSAFE):
            raise CostError(f"tag {tag!r}: quotes and backslashes can't be looked for")
    postgres = database.dialect.name == "postgresql"
    of_charges = list(sources)
    with database.connect() as connection:
        if EDGE in sources and tells(tags):
            of_charges.remove(EDGE)
            refresh(database, window)
            yield from _read(connection, _kept(window, tags, postgres=postgres), len(tags))
        if of_charges:
            rows = _charged(window, of_charges, tags, postgres=postgres)
            yield from _read(connection, rows, len(tags))
        longer = select(table).where(
            text(OVER_DAYS),
            table.c.start_ms < window.end_ms,
            table.c.end_ms > window.start_ms,
        )
        for found in connection.execute(longer).mappings():
            one = to_charge(found)
            if one.source not in sources:
                continue  # asked of the database it would take another index, of everything
            values = tuple(one.tags.get(tag, "") for tag in tags)
            for start_ms in range(window.start_ms, window.end_ms, DAY_MS):
                if part := within(one, Window(start_ms, start_ms + DAY_MS)):
                    about = (start_ms // DAY_MS, part.source, part.currency, part.kind, part.service, values)
                    yield DayCost(*about, part.billed, part.effective, spread=True)


def _kept(window: Window, tags: Sequence[str], *, postgres: bool) -> Select[Any]:
    """The edge's days, from their sums."""
    column = edge_day.c
    inner = select(
        (column.day_ms // DAY_MS).label("day"),
        literal(EDGE).label("source"),
        *(column[name] for name in (*NAMES, *PARTS)),
        *_tags(column.tags, tags, postgres=postgres),
    ).where(column.day_ms >= window.start_ms, column.day_ms < window.end_ms)
    rows = inner.subquery()
    return _by(rows, tags, [func.sum(rows.c[name]) for name in PARTS])


def _charged(window: Window, sources: Sequence[str], tags: Sequence[str], *, postgres: bool) -> Select[Any]:
    """The days of other charges that lie in one. PostgreSQL needs what they are grouped by as columns: it
    can't see that two expressions with parameters are the same.
    """
    column = table.c
    inner = select(
        (column.start_ms // DAY_MS).label("day"),
        *(column[name] for name in ("source", *NAMES, *SUMMED)),
        *_tags(column.tags, tags, postgres=postgres),
    ).where(
        column.start_ms >= window.start_ms,
        column.start_ms < window.end_ms,
        in_one_day(),
        column.source.in_(sources),
    )
    if EDGE not in sources:
        inner = inner.where(text(OF_CLOUD))
    rows = inner.subquery()
    return _by(rows, tags, [part for name in SUMMED for part in sums(rows.c[name], postgres=postgres)])


def _by(rows: Subquery, tags: Sequence[str], parts: Sequence[ColumnElement[Any]]) -> Select[Any]:
    keys = [rows.c[name] for name in ("day", "source", *NAMES, *(f"tag{n}" for n in range(len(tags))))]
    return select(*keys, *parts).group_by(*keys)


def _tags(column: ColumnElement[str], tags: Sequence[str], *, postgres: bool) -> list[ColumnElement[Any]]:
    read = _postgresql_tag if postgres else _sqlite_tag
    return [func.coalesce(read(column, tag), "").label(f"tag{number}") for number, tag in enumerate(tags)]


def _sqlite_tag(column: ColumnElement[str], tag: str) -> ColumnElement[Any]:
    return func.json_extract(column, f'$."{tag}"')


def _postgresql_tag(column: ColumnElement[str], tag: str) -> ColumnElement[Any]:
    found: ColumnElement[Any] = cast(column, postgresql.JSON)[tag].astext
    return found


def _read(connection: Connection, rows: Select[Any], tags: int) -> Iterator[DayCost]:
    for row in connection.execute(rows):
        day, source, currency, kind, service = row[:5]
        parts = row[5 + tags :]
        half = len(parts) // 2
        billed, effective = (money(some).normalize() + 0 for some in (parts[:half], parts[half:]))
        values = tuple(row[5 : 5 + tags])
        yield DayCost(int(day), source, currency, kind, service, values, billed, effective, spread=False)

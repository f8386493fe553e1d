"""Costs by day of UTC, service and tags, summed by the database: exactly, however many charges there are."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Engine,
    Numeric,
    Select,
    Text,
    case,
    cast,
    func,
    select,
)
from sqlalchemy.dialects import postgresql

from tidewatt_coordinator.costs.attribution import within
from tidewatt_coordinator.costs.charge import SMALLEST, CostError
from tidewatt_coordinator.costs.days import DAY_MS, Window
from tidewatt_coordinator.costs.series import DayCost
from tidewatt_coordinator.costs.store import to_charge
from tidewatt_coordinator.ledger.tables import charge as table

#: Digits after the point: money is kept to so many.
_PLACES = -int(SMALLEST.adjusted())
#: What can't stand in a JSON path on every database.
_UNSAFE = ('"', "\\")


def daily_costs(
    database: Engine, window: Window, sources: Sequence[str], tags: Sequence[str] = ()
) -> Iterator[DayCost]:
    """The costs of a window of whole days. CostError for a tag's name that no database can look for."""
    for tag in tags:
        if any(sign in tag for sign in _UNSAFE):
            raise CostError(f"tag {tag!r}: quotes and backslashes can't be looked for")
    within_day = table.c.start_ms // DAY_MS == (table.c.end_ms - 1) // DAY_MS
    with database.connect() as connection:
        rows = _grouped(database.dialect.name, tags).where(
            table.c.start_ms >= window.start_ms,
            table.c.start_ms < window.end_ms,
            within_day,
            table.c.source.in_(sources),
        )
        for row in connection.execute(_summed(database.dialect.name, rows, len(tags))):
            yield _day_cost(row, len(tags))
        longer = select(table).where(
            table.c.start_ms < window.end_ms,
            table.c.end_ms > window.start_ms,
            ~within_day,
            table.c.source.in_(sources),
        )
        for found in connection.execute(longer).mappings():
            one = to_charge(found)
            values = tuple(one.tags.get(tag, "") for tag in tags)
            for start_ms in range(window.start_ms, window.end_ms, DAY_MS):
                if part := within(one, Window(start_ms, start_ms + DAY_MS)):
                    about = (start_ms // DAY_MS, part.source, part.currency, part.kind, part.service, values)
                    yield DayCost(*about, part.billed, part.effective, spread=True)


def _grouped(dialect: str, tags: Sequence[str]) -> Select[Any]:
    """The rows with what they are grouped by. PostgreSQL needs that as columns: it can't see that two
    expressions with parameters are the same.
    """
    read = {"postgresql": _postgresql_tag}.get(dialect, _sqlite_tag)
    return select(
        (table.c.start_ms // DAY_MS).label("day"),
        *(table.c[name] for name in ("source", "currency", "kind", "service", "billed", "effective")),
        *(func.coalesce(read(tag), "").label(f"tag{number}") for number, tag in enumerate(tags)),
    )


def _summed(dialect: str, rows: Select[Any], tags: int) -> Select[Any]:
    inner = rows.subquery()
    names = ["day", "source", "currency", "kind", "service", *(f"tag{number}" for number in range(tags))]
    keys = [inner.c[name] for name in names]
    sums = [total for name in ("billed", "effective") for total in _sums(dialect, inner.c[name])]
    return select(*keys, *sums).group_by(*keys)


def _sums(dialect: str, amount: ColumnElement[str]) -> tuple[ColumnElement[Any], ...]:
    """Whole units, and units of 10^-12: SQLite sums integers exactly and nothing else."""
    if dialect == "postgresql":
        return func.sum(cast(amount, Numeric)), func.sum(0)
    point = func.instr(amount, ".")
    padded = func.substr(amount, point + 1, type_=Text).op("||")("0" * _PLACES)
    digits = cast(func.substr(padded, 1, _PLACES), BigInteger)
    fraction = case((point == 0, 0), (amount.like("-%"), -digits), else_=digits)
    return func.sum(cast(amount, BigInteger)), func.sum(fraction)


def _sqlite_tag(tag: str) -> ColumnElement[Any]:
    return func.json_extract(table.c.tags, f'$."{tag}"')


def _postgresql_tag(tag: str) -> ColumnElement[Any]:
    found: ColumnElement[Any] = cast(table.c.tags, postgresql.JSON)[tag].astext
    return found


def _day_cost(row: Sequence[Any], tags: int) -> DayCost:
    day, source, currency, kind, service = row[:5]
    billed, billed_rest, effective, effective_rest = (Decimal(value) for value in row[5 + tags :])
    return DayCost(
        int(day),
        source,
        currency,
        kind,
        service,
        tuple(row[5 : 5 + tags]),
        _plain(billed + billed_rest * SMALLEST),
        _plain(effective + effective_rest * SMALLEST),
        spread=False,
    )


def _plain(amount: Decimal) -> Decimal:
    """Without zeros at its end."""
    return amount.normalize() + 0

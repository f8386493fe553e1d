"""Sums of charges and of use, made by the database: a quarter of a large fleet is millions of rows.

The edge's charges are summed by day and site first (`costs.edge_days`), the cloud's are by day as they
come; only questions of single devices go through the edge's own.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Engine, Select, String, case, cast, func, literal, literal_column, select, text, true
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.sql.elements import ColumnElement

from tidewatt_coordinator.costs.attribution import FIELDS, within
from tidewatt_coordinator.costs.charge import Charge, CostError
from tidewatt_coordinator.costs.days import DAY_MS, Window, day_of
from tidewatt_coordinator.costs.edge_days import EDGE, MONEY, in_one_day, money, refresh, sums, tells
from tidewatt_coordinator.costs.store import to_charge
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import (
    OF_CLOUD,
    OVER_DAYS,
    day_use,
    edge_day,
    edge_day_mark,
    hour_use,
    site_day,
)
from tidewatt_coordinator.ledger.tables import charge as table
from tidewatt_coordinator.questions.rows import NONE, Cost, Use, regrouped

#: What stands in another field of the edge's own charges than in the cloud's, where it is a tag.
OF_EDGE = {"site": "region", "device": "resource", "backend": "resource"}
TAGS = ("namespace",)
FETCHED = 10_000

Number = ColumnElement[Any]


def check_grouping(by: Sequence[str]) -> None:
    """CostError for what charges can't be grouped by."""
    known = (*FIELDS, "day", "unit", *OF_EDGE, *TAGS)
    for name in by:
        tag = name.removeprefix("tag:")
        if name not in known and (tag == name or not tag or set(tag) & set('"\\')):
            raise CostError(f"costs can't be grouped by {name!r}; there are {', '.join(known)}, tag:name")


def costs(
    ledger: Ledger, window: Window, sources: Sequence[str], by: Sequence[str], services: Sequence[str] = ()
) -> list[Cost]:
    """What these sources' charges sum to within whole days of UTC, by `by`, in order of the keys.

    `services`: of these only. Raises CostError for what can't be grouped by.
    """
    check_grouping(by)
    found = [*_over_days(ledger.engine, window, sources, by, services)]
    if EDGE in sources and tells(by):
        refresh(ledger.engine, window)
        found += _grouped(ledger.engine, _of_edge(window, services), by)
    elif EDGE in sources:
        found += _grouped(ledger.engine, _of_charges(ledger.engine, window, [EDGE], services), by)
    if others := [source for source in sources if source != EDGE]:
        found += _grouped(ledger.engine, _of_charges(ledger.engine, window, others, services), by)
    return regrouped(found, lambda key: key)


def uses(database: Engine, window: Window, by: Sequence[str]) -> list[Use]:
    """What was used on whole days of UTC, by any of day, site and device; as last rolled up."""
    source = day_use if "device" in by else site_day
    columns = [source.c.day_ms if name == "day" else source.c[name] for name in by]
    used = (func.sum(source.c[name]) for name in ("energy_mj", "requests"))
    asked = select(*columns, *used).where(source.c.day_ms >= window.start_ms, source.c.day_ms < window.end_ms)
    found = []
    for *values, energy, requests in _streamed(database, asked.group_by(*columns).order_by(*columns)):
        if requests is not None:  # a sum of nothing
            key = tuple(_shown(name, value) for name, value in zip(by, values, strict=True))
            found.append(Use(key=key, energy_mj=int(energy), requests=int(requests)))
    return found


def idle(database: Engine, window: Window) -> Iterator[tuple[str, int, int, int]]:
    """Of each device: energy in hours without a request, energy in the others, requests; in mJ."""
    hour = hour_use.c
    resting = case((hour.requests == 0, hour.energy_mj), else_=0)
    asked = (
        select(hour.device, func.sum(resting), func.sum(hour.energy_mj - resting), func.sum(hour.requests))
        .where(hour.hour_ms >= window.start_ms, hour.hour_ms < window.end_ms)
        .group_by(hour.device)
        .order_by(hour.device)
    )
    for device, idle_mj, busy_mj, requests in _streamed(database, asked):
        yield str(device), int(idle_mj), int(busy_mj), int(requests)


def latest(database: Engine, sources: Iterable[str]) -> dict[str, int]:
    """The start of the last day (of the edge) or charge that each source has told, of those that have any."""
    found: dict[str, int] = {}
    with database.connect() as connection:
        for source in sources:
            asked = select(func.max(table.c.start_ms)).where(text(OF_CLOUD), table.c.source == source)
            if source == EDGE:
                asked = select(func.max(edge_day_mark.c.day_ms))
            at_ms = connection.execute(asked).scalar()
            if at_ms is not None:
                found[source] = int(at_ms)
    return found


class _Charges(msgspec.Struct, frozen=True):
    """Where charges that lie in one day each stand: nearly all."""

    columns: Any
    """By name."""
    day_ms: Number
    edge: bool
    counted: Number
    """How many have a quantity."""
    sums: list[list[Number]]
    """Of each of MONEY; and of the marginal cost, where that is kept."""
    where: ColumnElement[bool]
    price: Number | None
    """Of one more unit. It takes the quantity that each price is for to make money of it."""
    priced: Number
    """How many have a price and a quantity."""


def _of_edge(window: Window, services: Sequence[str]) -> _Charges:
    column = edge_day.c
    return _Charges(
        column,
        column.day_ms,
        edge=True,
        counted=func.sum(column.counted),
        sums=[[func.sum(column[f"{name}_{part}"]) for part in range(3)] for name in (*MONEY, "marginal")],
        where=_within(column.day_ms, window) & _among(column.service, services),
        price=None,
        priced=func.sum(column.priced),
    )


def _of_charges(
    database: Engine, window: Window, sources: Sequence[str], services: Sequence[str]
) -> _Charges:
    column = table.c
    postgres = database.dialect.name == "postgresql"
    edge = EDGE in sources
    return _Charges(
        column,
        column.start_ms // DAY_MS * DAY_MS,
        edge=edge,
        counted=func.count(column.quantity),
        sums=[sums(column[name], postgres=postgres) for name in MONEY],
        where=(true() if edge else text(OF_CLOUD))
        & column.source.in_(sources)
        & _within(column.start_ms, window)
        & in_one_day()
        & _among(column.service, services),
        price=column.marginal,
        priced=func.count(column.quantity),
    )


def _grouped(database: Engine, some: _Charges, by: Sequence[str]) -> Iterator[Cost]:
    keys = [_grouping(some, name, postgres=database.dialect.name == "postgresql") for name in by]
    each = len(some.sums[0])
    keys.append(some.columns["currency"])
    if some.price is not None:
        keys.append(some.price)
    asked = select(*keys, some.counted, some.priced, *(part for parts in some.sums for part in parts))
    for row in _streamed(database, asked.where(some.where).group_by(*keys)):
        counted, priced, *parts = row[len(keys) :]
        billed, effective, quantity, *marginal = (
            money(parts[start : start + each]) for start in range(0, len(parts), each)
        )
        if some.price is not None:
            price = row[len(by) + 1]
            priced = priced if price is not None else 0
            marginal = [Decimal(price or 0) * quantity]
        yield Cost(
            key=tuple(_shown(name, value) for name, value in zip(by, row[: len(by)], strict=True)),
            currency=row[len(by)],
            billed=billed,
            effective=effective,
            marginal=marginal[0] if priced else None,
            quantity=quantity if counted else None,
        )


def _over_days(
    database: Engine, window: Window, sources: Sequence[str], by: Sequence[str], services: Sequence[str]
) -> Iterator[Cost]:
    """Those that span days, such as a month's fee: few, found by an index of their own, and cut by day."""
    asked = select(table).where(
        text(OVER_DAYS),
        table.c.start_ms < window.end_ms,
        table.c.end_ms > window.start_ms,
        _among(table.c.service, services),
    )
    with database.connect() as connection:
        for row in connection.execution_options(yield_per=FETCHED).execute(asked).mappings():
            charge = to_charge(row)
            if charge.source not in sources:
                continue  # asked of the database it would take another index, of everything
            for piece in _pieces(window, charge) if "day" in by else [window]:
                if part := within(charge, piece):
                    yield _cost(part, charge.marginal, by)


def _cost(part: Charge, price: Decimal | None, by: Sequence[str]) -> Cost:
    known = price is not None and part.quantity is not None
    return Cost(
        key=tuple(_value(part, name) or NONE for name in by),
        currency=part.currency,
        billed=part.billed,
        effective=part.effective,
        marginal=(price or Decimal(0)) * (part.quantity or Decimal(0)) if known else None,
        quantity=part.quantity,
    )


def _among(column: ColumnElement[str], names: Sequence[str]) -> ColumnElement[bool]:
    return column.in_(names) if names else true()


def _within(start_ms: Number, window: Window) -> ColumnElement[bool]:
    return (start_ms >= window.start_ms) & (start_ms < window.end_ms)


def _pieces(window: Window, charge: Charge) -> Iterator[Window]:
    begin = max(window.start_ms, charge.start_ms - charge.start_ms % DAY_MS)
    for start_ms in range(begin, min(window.end_ms, charge.end_ms), DAY_MS):
        yield Window(start_ms, start_ms + DAY_MS)


def _grouping(some: _Charges, name: str, *, postgres: bool) -> Any:
    if name == "day":
        return some.day_ms
    if name == "source" and some.edge:
        return cast(literal_column(f"'{EDGE}'"), String)  # PostgreSQL groups by no bare constant
    if name in OF_EDGE and some.edge:
        return some.columns[OF_EDGE[name]]
    if name in FIELDS or name == "unit":
        return some.columns[name]
    tag, tags = name.removeprefix("tag:"), some.columns["tags"]
    # Inlined: PostgreSQL takes two parameters of the same text for two things to group by.
    if postgres:
        return cast(tags, JSON)[literal(tag, String, literal_execute=True)].astext
    return cast(func.json_extract(tags, literal(f'$."{tag}"', String, literal_execute=True)), String)


def _value(charge: Charge, name: str) -> str:
    if name == "day":
        return str(day_of(charge.start_ms))
    if name in OF_EDGE and charge.source == EDGE:
        return str(getattr(charge, OF_EDGE[name]))
    if name in FIELDS or name == "unit":
        return str(getattr(charge, name))
    return charge.tags.get(name.removeprefix("tag:"), "")


def _shown(name: str, value: Any) -> str:
    return str(day_of(int(value))) if name == "day" else str(value or NONE)


def _streamed(database: Engine, asked: Select[Any]) -> Iterator[tuple[Any, ...]]:
    with database.connect() as connection:
        for row in connection.execution_options(yield_per=FETCHED).execute(asked):
            yield tuple(row)

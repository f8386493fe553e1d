"""The edge's charges by day: an hour of 10,000 devices is as many charges, and questions are of days.

Who writes charges marks their days in the same transaction; who asks sums the marked days
anew, first. What comes out depends on the charges alone. Money is summed as three integers
(units, millionths, millionths of these), which both databases do exactly, and fast.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Integer, Numeric, Select, case, cast, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from tidewatt_coordinator.costs.days import DAY_MS, Window
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import charge, edge_day, edge_day_mark

#: The source that is summed. The cloud's bills are by the day already.
EDGE = "edge"
MONEY = ("billed", "effective", "quantity")
#: What a day's charges are told apart by.
ALIKE = (
    "provider",
    "service",
    "category",
    "region",
    "account",
    "resource",
    "description",
    "tags",
    "unit",
    "kind",
    "currency",
    "marginal",
)
#: Rows read and written at once.
PIECE = 2000
MILLIONTH = Decimal("1E-6")


def in_one_day() -> ColumnElement[bool]:
    """Whether a charge's period lies in one day of UTC."""
    return charge.c.start_ms // DAY_MS == (charge.c.end_ms - 1) // DAY_MS


def mark(connection: Connection, starts_ms: Iterable[int]) -> None:
    """Say, in the transaction that changes them, that charges of the edge that begin then change."""
    days = sorted({at_ms - at_ms % DAY_MS for at_ms in starts_ms})  # sorted: so nobody waits in a ring
    if not days:
        return
    into = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(edge_day_mark)
    risen = into.on_conflict_do_update(
        index_elements=["day_ms"], set_={"version": edge_day_mark.c.version + 1}
    )
    connection.execute(risen, [{"day_ms": day, "version": 1, "summed": 0} for day in days])


def refresh(ledger: Ledger, window: Window) -> int:
    """Sum the marked days of a window anew; how many those were. Several may do it at once."""
    marks = edge_day_mark.c
    stale = select(marks.day_ms, marks.version).where(
        marks.version != marks.summed, marks.day_ms >= window.start_ms, marks.day_ms < window.end_ms
    )
    with ledger.engine.connect() as connection:
        days = [(int(day), int(version)) for day, version in connection.execute(stale)]
    for day, version in days:
        _sum_day(ledger, day, version)
    return len(days)


def sums(column: ColumnElement[str], *, postgres: bool) -> list[ColumnElement[Any]]:
    """The exact sum of decimals written as text: of PostgreSQL one number, of SQLite three integers."""
    if postgres:
        return [func.sum(cast(column, Numeric))]
    dot = func.instr(column, ".")
    decimals = case((dot > 0, func.substr(column, dot + 1)), else_="").concat("0" * 12)
    sign = case((column.like("-%"), -1), else_=1)
    millionths, rest = (cast(func.substr(decimals, start, 6), Integer) for start in (1, 7))
    return [func.sum(cast(column, Integer)), func.sum(sign * millionths), func.sum(sign * rest)]


def money(parts: Iterable[Any]) -> Decimal:
    """A sum's parts as one number."""
    return sum((Decimal(part or 0).scaleb(-6 * place) for place, part in enumerate(parts)), Decimal(0))


def split(amount: Decimal) -> tuple[int, int, int]:
    """A number as units, millionths and millionths of these, each with its sign."""
    whole = int(amount)
    millionths = int((amount - whole) / MILLIONTH)
    return whole, millionths, int((amount - whole - millionths * MILLIONTH) / MILLIONTH / MILLIONTH)


def _sum_day(ledger: Ledger, day: int, version: int) -> None:
    # Read first, and written in a moment: the ledger's other writers don't wait for the sums.
    with ledger.engine.connect() as connection:
        rows = [_row(day, row) for row in connection.execute(_summed(ledger, day)).mappings()]

    def write(connection: Connection) -> None:
        mine = edge_day_mark.c.day_ms == day
        known = connection.execute(select(edge_day_mark).where(mine).with_for_update()).one()
        if known.summed >= version:
            return  # somebody else was faster, and maybe newer
        connection.execute(delete(edge_day).where(edge_day.c.day_ms == day))
        for start in range(0, len(rows), PIECE):
            connection.execute(insert(edge_day), rows[start : start + PIECE])
        # What has changed since leaves the day marked.
        connection.execute(update(edge_day_mark).where(mine).values(summed=version))

    ledger.transact(write)


def _summed(ledger: Ledger, day: int) -> Select[Any]:
    postgres = ledger.engine.dialect.name == "postgresql"
    alike = [charge.c[name] for name in ALIKE]
    parts = [
        part.label(f"{name}_{place}")
        for name in MONEY
        for place, part in enumerate(sums(charge.c[name], postgres=postgres))
    ]
    return (
        select(*alike, func.count(charge.c.quantity).label("counted"), *parts)
        .where(charge.c.source == EDGE, in_one_day())
        .where(charge.c.start_ms >= day, charge.c.start_ms < day + DAY_MS)
        .group_by(*alike)
    )


def _row(day: int, found: Mapping[Any, Any]) -> dict[str, object]:
    row: dict[str, object] = {"day_ms": day, "counted": found["counted"]}
    row |= {name: found[name] for name in ALIKE}
    for name in MONEY:
        whole = money(found.get(f"{name}_{place}") for place in range(3))
        row |= {f"{name}_{place}": part for place, part in enumerate(split(whole))}
    return row

"""The edge's charges by day and site: 10,000 devices have 40,000 charges a day, and questions are of sums.

Who writes charges marks their days in the same transaction; who asks sums the marked days
anew, first. What comes out depends on the charges alone. What asks for single devices
(`tells` says no) has to read the charges themselves. Money is summed as three integers (units,
millionths, millionths of these), which both databases do exactly, and fast.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Context, Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Integer, Numeric, case, cast, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from tidewatt_coordinator.costs.days import DAY_MS, Window
from tidewatt_coordinator.ledger.tables import charge, edge_day, edge_day_mark
from tidewatt_coordinator.money import EXACT, FINEST

#: The source that is summed. The cloud's bills are by the day already.
EDGE = "edge"
MONEY = ("billed", "effective", "quantity")
#: What a day's sums are told apart by.
ALIKE = ("provider", "service", "category", "region", "account", "description", "unit", "kind", "currency")
#: What only the charges themselves know: the tag, and the fields that hold it.
DEVICE = "device"
OF_DEVICES = ("resource", DEVICE, "backend")
#: Rows read and written at once.
PIECE = 2000
MILLIONTH = Decimal("1E-6")
_ROUNDED = Context(prec=EXACT.prec)


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


def refresh(database: Engine, window: Window) -> int:
    """Sum the marked days of a window anew; how many those were. Several may do it at once."""
    marks = edge_day_mark.c
    stale = select(marks.day_ms, marks.version).where(
        marks.version != marks.summed, marks.day_ms >= window.start_ms, marks.day_ms < window.end_ms
    )
    with database.connect() as connection:
        days = [(int(day), int(version)) for day, version in connection.execute(stale)]
    for day, version in days:
        _sum_day(database, day, version)
    return len(days)


def tells(names: Collection[str]) -> bool:
    """Whether the sums can be grouped by these fields and tags."""
    return not {name.removeprefix("tag:") for name in names} & set(OF_DEVICES)


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


class _Sum:
    """What some charges of a day sum to."""

    def __init__(self) -> None:
        self.counted = self.priced = 0
        self.billed = self.effective = self.quantity = self.marginal = Decimal(0)

    def add(self, billed: str, effective: str, quantity: str | None, price: str | None) -> None:
        """One charge more."""
        self.billed += Decimal(billed)
        self.effective += Decimal(effective)
        if quantity is None:
            return
        amount = Decimal(quantity)
        self.counted += 1
        self.quantity += amount
        if price is not None:
            self.priced += 1
            self.marginal += EXACT.multiply(amount, Decimal(price)).quantize(FINEST, context=_ROUNDED)


def _sum_day(database: Engine, day: int, version: int) -> None:
    # Read first, and written in a moment: the ledger's other writers don't wait for the sums.
    rows = [_row(day, alike, tags, one) for (*alike, tags), one in _summed(database, day).items()]
    mine = (edge_day_mark.c.day_ms == day) & (edge_day_mark.c.summed < version)
    with database.begin() as connection:
        # What has changed since leaves the day marked.
        if not connection.execute(update(edge_day_mark).where(mine).values(summed=version)).rowcount:
            return  # somebody else was faster, and maybe newer
        connection.execute(delete(edge_day).where(edge_day.c.day_ms == day))
        for start in range(0, len(rows), PIECE):
            connection.execute(insert(edge_day), rows[start : start + PIECE])


def _summed(database: Engine, day: int) -> dict[tuple[str, ...], _Sum]:
    found: dict[tuple[str, ...], _Sum] = {}
    for (*alike, tags), money_of in _charges_of(database, day):
        key = (*alike, _without_device(tags))
        one = found.get(key)
        if one is None:
            one = found[key] = _Sum()
        one.add(*money_of)
    return found


def _charges_of(database: Engine, day: int) -> Iterator[tuple[Sequence[str], Sequence[Any]]]:
    names = (*ALIKE, "tags", *MONEY, "marginal")
    rows = (
        select(*(charge.c[name] for name in names))
        .where(charge.c.source == EDGE, in_one_day())
        .where(charge.c.start_ms >= day, charge.c.start_ms < day + DAY_MS)
    )
    count = len(ALIKE) + 1
    with database.connect() as connection:
        for row in connection.execution_options(yield_per=PIECE).execute(rows):
            yield row[:count], row[count:]


def _without_device(tags: str) -> str:
    known = msgspec.json.decode(tags, type=dict[str, str])
    if known.pop(DEVICE, None) is None:
        return tags
    return msgspec.json.encode(known, order="deterministic").decode()


def _row(day: int, alike: Sequence[str], tags: str, one: _Sum) -> dict[str, object]:
    row: dict[str, object] = {"day_ms": day, "tags": tags, "counted": one.counted, "priced": one.priced}
    row |= dict(zip(ALIKE, alike, strict=True))
    for name in (*MONEY, "marginal"):
        row |= {f"{name}_{place}": part for place, part in enumerate(split(getattr(one, name)))}
    return row

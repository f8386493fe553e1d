"""Charges in the ledger's database, and how often a source that costs money was asked."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from operator import itemgetter

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from tidewatt_coordinator.costs import edge_days
from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.ledger.merging import Rule, merge_rows
from tidewatt_coordinator.ledger.tables import charge as table
from tidewatt_coordinator.ledger.tables import cost_call

#: Rows for one statement.
PIECE = 1000
#: In the table's order, but last the time at which they were got.
_COLUMNS: dict[str, Rule] = dict.fromkeys(
    [column.name for column in table.c if not column.primary_key and column.name != "taken_ms"], "new"
)
_COLUMNS["taken_ms"] = "new"
_MONEY = ("quantity", "billed", "effective", "marginal", "list_cost")


class Held(msgspec.Struct, frozen=True):
    """What the ledger has of one source in one currency."""

    source: str
    currency: str
    charges: int
    start_ms: int
    end_ms: int
    taken_ms: int
    """When it was last asked for."""


class Charges:
    """The charges of one ledger. Thread-safe; no method leaves a transaction open but `read`."""

    def __init__(self, database: Engine) -> None:
        self.engine = self._database = database
        # Both know the same upsert, each by its own function.
        self._insert = postgresql.insert if database.dialect.name == "postgresql" else sqlite.insert

    def put(self, charges: Iterable[Charge], taken_ms: int) -> int:
        """Keep them, each in the place of the one with the same source and key; how many they were.

        `taken_ms` is the time at which they were got.
        """
        return self._put((("", charge) for charge in charges), taken_ms)

    def replace(
        self, source: str, batches: Collection[str], charges: Iterable[tuple[str, Charge]], taken_ms: int
    ) -> int:
        """Let `charges`, each with its batch, be all that this source says about these batches.

        A batch is what a source says as a whole: a day, a billing period. What it said before and says
        no longer goes when the rest is written; a replacement that is cut short is healed by the next.
        The ledger's other writers wait for a thousand rows at most. Returns how many charges it took.
        """
        count = self._put(charges, taken_ms)
        gone = delete(table).where(table.c.source == source, table.c.taken_ms != taken_ms)
        starts = select(table.c.start_ms).where(table.c.source == source, table.c.taken_ms != taken_ms)
        for batch in batches:
            with self._database.begin() as connection:
                if source == edge_days.EDGE:
                    edge_days.mark(
                        connection, connection.execute(starts.where(table.c.batch == batch)).scalars()
                    )
                connection.execute(gone.where(table.c.batch == batch))
        return count

    def count(self, source: str, batch: str) -> int:
        """How many charges a batch has."""
        rows = select(func.count()).where(table.c.source == source, table.c.batch == batch)
        with self._database.connect() as connection:
            return int(connection.execute(rows).scalar_one())

    def read(self, start_ms: int, end_ms: int, sources: Sequence[str] | None = None) -> Iterator[Charge]:
        """The charges whose periods touch the window, by source and time; of these sources, or of all."""
        rows = (
            select(table)
            .where(table.c.start_ms < end_ms, table.c.end_ms > start_ms)
            .order_by(table.c.source, table.c.start_ms, table.c.key)
        )
        if sources is not None:
            rows = rows.where(table.c.source.in_(sources))
        with self._database.connect() as connection:
            for row in connection.execution_options(yield_per=PIECE).execute(rows).mappings():
                yield to_charge(row)

    def held(self) -> list[Held]:
        """What there is, by source and currency."""
        key = (table.c.source, table.c.currency)
        rows = select(
            *key,
            func.count(),
            func.min(table.c.start_ms),
            func.max(table.c.end_ms),
            func.max(table.c.taken_ms),
        )
        with self._database.connect() as connection:
            return [Held(*row) for row in connection.execute(rows.group_by(*key).order_by(*key))]

    def last_end(self, source: str) -> int | None:
        """When this source's latest charge ends; None if it has none."""
        latest = select(func.max(table.c.end_ms)).where(table.c.source == source)
        with self._database.connect() as connection:
            return connection.execute(latest).scalar()

    def call(self, source: str, day: date, most: int) -> bool:
        """Count one call that costs money, unless it would be more than `most` of that day: then False."""
        if most < 1:
            return False
        row = self._insert(cost_call).values(source=source, day=day.isoformat(), calls=1)
        counted = row.on_conflict_do_update(
            index_elements=["source", "day"],
            set_={"calls": cost_call.c.calls + 1},
            where=cost_call.c.calls < most,
        ).returning(cost_call.c.calls)
        with self._database.begin() as connection:
            return connection.execute(counted).first() is not None

    def calls(self, source: str, day: date) -> int:
        """How many calls of a day were counted."""
        row = select(cost_call.c.calls).where(
            cost_call.c.source == source, cost_call.c.day == day.isoformat()
        )
        with self._database.connect() as connection:
            return connection.execute(row).scalar() or 0

    def _put(self, charges: Iterable[tuple[str, Charge]], taken_ms: int) -> int:
        row = self._insert(table)
        new = {column.name: row.excluded[column.name] for column in table.c if not column.primary_key}
        statement = row.on_conflict_do_update(index_elements=["source", "key"], set_=new)
        waiting, count = iter(charges), 0
        while piece := list(islice(waiting, PIECE)):
            with self._database.begin() as connection:
                edge_days.mark(connection, (one.start_ms for _, one in piece if one.source == edge_days.EDGE))
                connection.execute(statement, [_row(charge, batch, taken_ms) for batch, charge in piece])
            count += len(piece)
        return count


def batch_rows(batch: str, charges: Iterable[Charge], taken_ms: int) -> list[dict[str, object]]:
    """The table's rows of a batch: made before the transaction, for others wait while that is open."""
    return [_row(charge, batch, taken_ms) for charge in charges]


def replace_batch(
    connection: Connection, source: str, batch: str, rows: Iterable[Mapping[str, object]]
) -> None:
    """Within a transaction: let `rows` (of `batch_rows`) be all that a source says about a batch.

    Only what has changed is written: of a late report's day that is little. For batches of some ten
    thousand: other writers on SQLite wait until the transaction ends.
    """
    names = ("source", "key", *_COLUMNS)
    said = {row["key"]: tuple(row[name] for name in names) for row in rows}
    told, starts = len(names) - 1, names.index("start_ms")  # all but when it was taken, which comes last
    before = select(*(table.c[name] for name in names)).where(
        table.c.source == source, table.c.batch == batch
    )
    kept = {row[1]: tuple(row) for row in connection.execute(before)}
    new = [row for key, row in said.items() if key not in kept or kept[key][:told] != row[:told]]
    gone = [row for key, row in kept.items() if key not in said]
    if source == edge_days.EDGE:
        changed = [*new, *gone, *(kept[row[1]] for row in new if row[1] in kept)]
        edge_days.mark(connection, (row[starts] for row in changed))
    for first in range(0, len(gone), PIECE):
        keys = [row[1] for row in gone[first : first + PIECE]]
        connection.execute(delete(table).where(table.c.source == source, table.c.key.in_(keys)))
    merge_rows(connection, table, _COLUMNS, sorted(new, key=itemgetter(0, 1)))


def _row(charge: Charge, batch: str, taken_ms: int) -> dict[str, object]:
    row = msgspec.structs.asdict(charge) | {"batch": batch, "taken_ms": taken_ms}
    row["tags"] = msgspec.json.encode(charge.tags, order="deterministic").decode()
    for name in _MONEY:
        value: Decimal | None = row[name]
        row[name] = None if value is None else format(value, "f")
    return row


def to_charge(row: RowMapping) -> Charge:
    """The charge that a row of the table holds."""
    values = {name: row[name] for name in Charge.__struct_fields__}
    values["tags"] = msgspec.json.decode(row["tags"], type=dict[str, str])
    for name in _MONEY:
        values[name] = None if row[name] is None else Decimal(row[name])
    return Charge(**values)

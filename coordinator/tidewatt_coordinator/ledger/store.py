"""The ledger in its database: reports in, spans and totals out."""

from collections.abc import Iterable, Mapping, Sequence
from operator import add
from pathlib import Path

import msgspec
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Column, Connection, Engine, RowMapping, Table, create_engine, event, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import ArgumentError, DatabaseError

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span, Values, bucket_of, merge, span_of
from tidewatt_coordinator.ledger.tables import device_bucket, ledger_fact, life_total, mode_bucket
from tidewatt_wire.messages import Report


class LedgerError(ValueError):
    """The ledger can't be used as asked; the sentence says why."""


class Life(msgspec.Struct, frozen=True):
    """One device in one counter epoch: its spans, and its spans per mode, in order of time."""

    device: str
    epoch: str
    spans: list[Span]
    modes: dict[str, list[Span]]


class Total(msgspec.Struct, frozen=True):
    """A device's counters over all its epochs, in the order of COUNTERS."""

    device: str
    values: tuple[int, ...]


class Ledger:
    """One ledger. Thread-safe; every method is one transaction."""

    def __init__(self, url: str, bucket_ms: int) -> None:
        """Open or create it and bring its tables up to date; LedgerError if that can't be."""
        self.bucket_ms = bucket_ms
        try:
            self._engine = create_engine(url)
        except (ArgumentError, ImportError) as error:
            raise LedgerError(f"ledger.url {url!r} is not usable: {error}") from error
        if self._engine.dialect.name != "sqlite":
            raise LedgerError(f"ledger.url {url!r}: only sqlite:/// is supported")
        event.listen(self._engine, "connect", _set_pragmas)
        try:
            _migrate(self._engine)
            self._hold_bucket_length(bucket_ms)
        except DatabaseError as error:
            raise LedgerError(f"ledger.url {url!r} can't be opened: {error.orig}") from error

    @property
    def engine(self) -> Engine:
        """The database, for what else is kept beside the ledger."""
        return self._engine

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def take(self, reports: Iterable[Report]) -> None:
        """Merge reports, in any order, each any number of times."""
        devices: dict[tuple[str, ...], Span] = {}
        modes: dict[tuple[str, ...], Span] = {}
        for report in reports:
            bucket_ms = bucket_of(report.at_ms, self.bucket_ms)
            key = (report.device, report.epoch, str(bucket_ms))
            counters = [getattr(report.counters, name) for name in COUNTERS]
            _join(devices, key, span_of(report.at_ms, counters))
            for mode, ms in report.counters.mode_ms.items():
                _join(modes, (*key, mode), span_of(report.at_ms, [ms]))
        if not devices:
            return
        with self._engine.begin() as connection:
            _upsert(connection, device_bucket, COUNTERS, devices)
            _upsert(connection, mode_bucket, ("mode_ms",), modes)
            _raise_totals(connection, devices)

    def totals(self) -> list[Total]:
        """What every device has counted, over all epochs: the greatest counters of each, summed."""
        table = life_total.c
        lives = select(table.device, *(table[name] for name in COUNTERS)).order_by(table.device)
        # Summed here: SQLite's sum of integers is an error beyond 64 bits, Python's is a number.
        totals: dict[str, tuple[int, ...]] = {}
        with self._engine.connect() as connection:
            for device, *values in connection.execute(lives):
                before = totals.get(device, (0,) * len(values))
                totals[device] = tuple(map(add, before, values))
        return [Total(device, values) for device, values in totals.items()]

    def lives(self) -> list[Life]:
        """Everything, by device and epoch."""
        found: dict[tuple[str, str], Life] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(_in_order(device_bucket)).mappings():
                life = found.setdefault(_life_key(row), Life(*_life_key(row), [], {}))
                life.spans.append(_span(row, COUNTERS))
            for row in connection.execute(_in_order(mode_bucket)).mappings():
                life = found.setdefault(_life_key(row), Life(*_life_key(row), [], {}))
                life.modes.setdefault(row["mode"], []).append(_span(row, ("mode_ms",)))
        return list(found.values())

    def fact(self, name: str) -> str | None:
        """A fact that was kept, None if there is none of that name."""
        with self._engine.connect() as connection:
            return connection.execute(select(ledger_fact.c.value).where(ledger_fact.c.name == name)).scalar()

    def keep_fact(self, name: str, value: str) -> None:
        """Keep a fact, in place of the one of that name."""
        row = insert(ledger_fact).values(name=name, value=value)
        with self._engine.begin() as connection:
            connection.execute(
                row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value})
            )

    def _hold_bucket_length(self, bucket_ms: int) -> None:
        kept = self.fact("bucket_ms")
        if kept is None:
            self.keep_fact("bucket_ms", str(bucket_ms))
        elif int(kept) != bucket_ms:
            raise LedgerError(
                f"this ledger has buckets of {int(kept) // 1000} s; "
                f"ledger.bucket_s = {bucket_ms // 1000} can't be mixed in"
            )


def _set_pragmas(connection: object, _record: object) -> None:
    # Write-ahead log: readers never wait for the writer. NORMAL: a power cut may lose the
    # last transactions, never the file; devices send their counters again.
    cursor = connection.cursor()  # type: ignore[attr-defined] # a DBAPI connection
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrate(engine: Engine) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _join(spans: dict[tuple[str, ...], Span], key: tuple[str, ...], span: Span) -> None:
    spans[key] = merge(spans[key], span) if key in spans else span


def _upsert(
    connection: Connection, table: Table, counters: Sequence[str], spans: Mapping[tuple[str, ...], Span]
) -> None:
    if not spans:
        return
    keys = [column.name for column in table.primary_key]
    row = insert(table)
    smallest = ["first_ms", *(f"{name}_least" for name in counters)]
    largest = ["last_ms", *(f"{name}_greatest" for name in counters)]

    def either(pick: str, name: str) -> object:
        column: Column[int] = table.c[name]
        return getattr(func, pick)(column, row.excluded[name])

    merged = {name: either("min", name) for name in smallest} | {
        name: either("max", name) for name in largest
    }
    rows = [
        dict(zip(keys, key, strict=True))
        | dict(zip(smallest, (span.first_ms, *span.least), strict=True))
        | dict(zip(largest, (span.last_ms, *span.greatest), strict=True))
        for key, span in spans.items()
    ]
    for values in rows:
        values["bucket_ms"] = int(values["bucket_ms"])
    connection.execute(row.on_conflict_do_update(index_elements=keys, set_=merged), rows)


def _raise_totals(connection: Connection, spans: Mapping[tuple[str, ...], Span]) -> None:
    """Keep the greatest counters of each device and epoch, in the transaction of their buckets."""
    greatest: dict[tuple[str, str], Values] = {}
    for (device, epoch, _), span in spans.items():
        known = greatest.get((device, epoch), span.greatest)
        greatest[device, epoch] = tuple(map(max, known, span.greatest))
    row = insert(life_total)
    raised = {name: func.max(life_total.c[name], row.excluded[name]) for name in COUNTERS}
    rows = [
        {"device": device, "epoch": epoch} | dict(zip(COUNTERS, values, strict=True))
        for (device, epoch), values in greatest.items()
    ]
    connection.execute(row.on_conflict_do_update(index_elements=["device", "epoch"], set_=raised), rows)


def _in_order(table: Table):  # type: ignore[no-untyped-def] # noqa: ANN202 - SQLAlchemy's Select of all columns
    return select(table).order_by(table.c.device, table.c.epoch, table.c.bucket_ms)


def _life_key(row: RowMapping) -> tuple[str, str]:
    return str(row["device"]), str(row["epoch"])


def _span(row: RowMapping, counters: Sequence[str]) -> Span:
    return Span(
        row["first_ms"],
        row["last_ms"],
        tuple(row[f"{name}_least"] for name in counters),
        tuple(row[f"{name}_greatest"] for name in counters),
    )

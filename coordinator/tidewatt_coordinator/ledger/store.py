"""The ledger in its database: reports in, spans and totals out."""

from collections.abc import Callable, Iterable, Sequence
from operator import add
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, Table, create_engine, event, func, select
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span
from tidewatt_coordinator.ledger.asleep import Asleep, by_device, merge_asleep
from tidewatt_coordinator.ledger.asleep import rows_of as sleep_of
from tidewatt_coordinator.ledger.batch import rows_of
from tidewatt_coordinator.ledger.merging import Rule, merge_rows
from tidewatt_coordinator.ledger.migrating import TooNew, migrate
from tidewatt_coordinator.ledger.tables import device_bucket, device_life, ledger_fact, mode_bucket
from tidewatt_wire.messages import Report

#: A transaction that the database broke off for the sake of another is done again so often.
TRIES = 5
#: What PostgreSQL says then: serialization failure, deadlock.
BROKEN_OFF = ("40001", "40P01")


def _span_rules(*counters: str) -> dict[str, Rule]:
    least: dict[str, Rule] = dict.fromkeys(["first_ms", *(f"{name}_least" for name in counters)], "least")
    return least | dict.fromkeys(["last_ms", *(f"{name}_greatest" for name in counters)], "greatest")


DEVICE_RULES, MODE_RULES = _span_rules(*COUNTERS), _span_rules("mode_ms")
LIFE_RULES: dict[str, Rule] = {
    "dirty_ms": "least",
    "last_ms": "greatest",
    **dict.fromkeys((f"{name}_greatest" for name in COUNTERS), "greatest"),
}


#: How long a writer of SQLite waits for another one. A new user's slow disk made the demo's writers wait for
#: more than five seconds, and the demo ended.
BUSY_MS = 30_000


class LedgerError(ValueError):
    """The ledger can't be used as asked; the sentence says why."""


class LedgerAwayError(LedgerError, RuntimeError):
    """The database doesn't answer, or lets us not in: it may a moment later, with nothing changed here."""


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
        shown = self._engine.url.render_as_string(hide_password=True)
        driver = f"{self._engine.dialect.name}+{self._engine.dialect.driver}"
        if driver not in ("sqlite+pysqlite", "postgresql+psycopg"):
            raise LedgerError(
                f"ledger.url {shown!r}: only sqlite:/// and postgresql+psycopg:// are supported"
            )
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _set_pragmas)
        try:
            migrate(self._engine)
            self._hold_bucket_length(bucket_ms)
        except DatabaseError as error:
            why = str(error.orig).partition("\n")[0]
            away = isinstance(error, OperationalError) and self._engine.dialect.name == "postgresql"
            kind = LedgerAwayError if away else LedgerError
            raise kind(f"ledger.url {shown!r} can't be opened: {why}") from error
        except TooNew as error:
            self.close()
            raise LedgerError(f"ledger.url {shown!r}: {error}") from error

    @property
    def engine(self) -> Engine:
        """The database, for what else is kept beside the ledger."""
        return self._engine

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def take(self, reports: Iterable[Report]) -> None:
        """Merge reports, in any order, each any number of times."""
        rows = rows_of(reports, self.bucket_ms)
        if not rows.spans:
            return
        asleep = sleep_of(rows.slept)

        def merged(connection: Connection) -> None:
            # The lives first: who holds a life's row alone changes its buckets or rolls them up.
            merge_rows(connection, device_life, LIFE_RULES, rows.lives)
            merge_rows(connection, device_bucket, DEVICE_RULES, rows.spans)
            merge_rows(connection, mode_bucket, MODE_RULES, rows.times)
            merge_asleep(connection, asleep)

        self.transact(merged)

    def transact(self, work: Callable[[Connection], Any]) -> Any:
        """Do it in one transaction; once more where the database broke it off for another's sake."""
        for left in reversed(range(TRIES)):
            try:
                with self._engine.begin() as connection:
                    if connection.dialect.name == "sqlite":
                        connection.exec_driver_sql(
                            "BEGIN IMMEDIATE"
                        )  # what it reads stays true till it writes
                    return work(connection)
            except OperationalError as error:
                if not left or getattr(error.orig, "sqlstate", None) not in BROKEN_OFF:
                    raise
        return None

    def totals(self) -> list[Total]:
        """What every device has counted, over all epochs: the greatest counters of each, summed."""
        table = device_life.c
        greatest = select(table.device, *(table[f"{name}_greatest"] for name in COUNTERS)).order_by(
            table.device
        )
        # Summed here: SQLite's sum of integers is an error beyond 64 bits, Python's is a number.
        totals: dict[str, tuple[int, ...]] = {}
        with self._engine.connect() as connection:
            for device, *values in connection.execute(greatest):
                before = totals.get(device, (0,) * len(values))
                totals[device] = tuple(map(add, before, values))
        return [Total(device, values) for device, values in totals.items()]

    def asleep(self) -> dict[str, Asleep]:
        """Time and energy asleep of every device that ever slept."""
        with self._engine.connect() as connection:
            return by_device(connection)

    def sums(self) -> tuple[int, ...]:
        """What the whole fleet has counted, in the order of COUNTERS."""
        table, part = device_life.c, 1_000_000
        parts = []  # each sum in two, because SQLite's end at 2^63
        for name in COUNTERS:
            low = table[f"{name}_greatest"] % part
            parts += [func.sum((table[f"{name}_greatest"] - low) // part), func.sum(low)]
        with self._engine.connect() as connection:
            row = [int(value or 0) for value in connection.execute(select(*parts)).one()]
        return tuple(high * part + low for high, low in zip(row[::2], row[1::2], strict=True))

    def lives(self) -> list[Life]:
        """Every bucket that is kept, by device and epoch. It reads them all: not for every look at a page."""
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
        self.transact(
            lambda connection: merge_rows(connection, ledger_fact, {"value": "new"}, [(name, value)])
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
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


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

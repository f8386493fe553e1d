"""Reports that could not be sent, in one bounded SQLite file (ADR 0019).

For any thread, one at a time; every method is one transaction. A write-ahead log: a batch is one
append and one flush, which is what a flash card likes best, and a power cut loses the last batch at
the most, never the file. A file that is broken, or another device's, is set aside and a new one begun.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tidewatt_agent.thinning import surplus

FILE_NAME = "spool.db"
MEGABYTE = 1_000_000
#: What is in the file by our account: PRAGMA user_version.
LAYOUT = 1
#: Real seconds to wait for somebody else's lock.
LOCK_S = 1.0
#: The log beside the file is folded into it, and cut back, at about this size.
LOG_BYTES = 1 << 20
PAGE_BYTES = 4096
#: SQLite's own cache: batches are small and read once.
CACHE_KIB = 256

_TABLES = """
CREATE TABLE owner (fleet TEXT NOT NULL, device TEXT NOT NULL);
CREATE TABLE report (
    id INTEGER PRIMARY KEY AUTOINCREMENT, epoch TEXT NOT NULL, at_ms INTEGER NOT NULL, payload BLOB NOT NULL
);
"""


class SpoolFailedError(OSError):
    """The file can't be used now; the sentence says why."""


class Entry(NamedTuple):
    """An encoded report on its way into the spool."""

    epoch: str
    at_ms: int
    payload: bytes


class Kept(NamedTuple):
    """A report in the spool; ids rise in the order of coming."""

    id: int
    at_ms: int
    payload: bytes


class Settled(NamedTuple):
    """How the spool stands after a transaction."""

    file: int
    """Rises whenever a file is opened: ids that were read before mean nothing from then on."""
    ids: list[int]
    """What the added entries are called, in their order."""
    waiting: int
    """Reports in it."""
    size: int
    """Bytes of the file that are in use."""
    thinned: int
    """Reports given up in this transaction."""


class Spool:
    """The file. It is opened by the first use, and again after a failure."""

    def __init__(self, path: Path, fleet: str, device: str, max_bytes: int) -> None:
        self.path, self._owner, self._max_bytes = path, (fleet, device), max_bytes
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._file = 0
        self.set_aside = 0
        """Files set aside as broken."""

    def settle(self, add: Sequence[Entry], sent: Iterable[int]) -> Settled:
        """What was sent goes, what is added comes, and what is too much is thinned: all or nothing.

        Raises SpoolFailedError; then the file is as it was.
        """
        with self._lock:
            try:
                return self._settle(add, sent)
            except sqlite3.Error as error:
                self._let_go()
                if not _says_broken(error):
                    raise self._failed(error) from error
                self._put_aside()
            try:
                return self._settle(add, ())
            except sqlite3.Error as error:
                self._let_go()
                raise self._failed(error) from error

    def after(self, last_id: int, count: int) -> list[Kept]:
        """The next `count` reports at most, oldest first. Raises SpoolFailedError."""
        with self._lock:
            try:
                rows = self._open().execute(
                    "SELECT id, at_ms, payload FROM report WHERE id > ? ORDER BY id LIMIT ?", (last_id, count)
                )
                return [Kept(*row) for row in rows]
            except sqlite3.Error as error:
                # Settling, which comes next, finds out what to do about it.
                self._let_go()
                raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._let_go()

    def _settle(self, add: Sequence[Entry], sent: Iterable[int]) -> Settled:
        database = self._open()
        with database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("DELETE FROM report WHERE id = ?", ((one,) for one in sent))
            # Before, so that the file doesn't grow beyond its bound; after, for a batch that is much of it.
            thinned = self._thin_to(self._max_bytes - _needed(add), database) if add else 0
            ids = [
                database.execute("INSERT INTO report (epoch, at_ms, payload) VALUES (?, ?, ?)", one).lastrowid
                for one in add
            ]
            thinned += self._thin_to(self._max_bytes, database) if add else 0
            waiting = _number(database, "SELECT count(*) FROM report")
        size = _used_bytes(database)
        return Settled(self._file, [one or 0 for one in ids], waiting, size, thinned)

    def _thin_to(self, most_bytes: int, database: sqlite3.Connection) -> int:
        thinned = 0
        while _used_bytes(database) > most_bytes:
            rows = database.execute("SELECT id, epoch FROM report ORDER BY id").fetchall()
            gone = surplus([epoch for _, epoch in rows])
            if not gone:
                break  # ends of epochs alone are left: without them totals would be wrong
            database.executemany("DELETE FROM report WHERE id = ?", ((rows[one][0],) for one in gone))
            thinned += len(gone)
        return thinned

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            try:
                # Reports tell of a site's habits: nobody else's to read. SQLite's own files follow this one.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            except OSError as error:
                raise self._failed(error.strerror or error) from error
            database = sqlite3.connect(
                self.path, timeout=LOCK_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(database)
            except BaseException:
                database.close()
                raise
            self._database = database
            self._file += 1
        return self._database

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Raises sqlite3.DatabaseError itself, as for a broken file, for one that isn't ours."""
        for pragma in (
            f"page_size={PAGE_BYTES}", "journal_mode=WAL", "synchronous=FULL", f"cache_size=-{CACHE_KIB}",
            f"journal_size_limit={LOG_BYTES}", f"wal_autocheckpoint={LOG_BYTES // PAGE_BYTES}",
        ):  # fmt: skip
            database.execute(f"PRAGMA {pragma}")
        if _number(database, "SELECT count(*) FROM sqlite_master") == 0:
            database.executescript(f"BEGIN IMMEDIATE; {_TABLES}")
            database.execute("INSERT INTO owner VALUES (?, ?)", self._owner)
            database.execute(f"PRAGMA user_version={LAYOUT}")
            database.execute("COMMIT")
        layout = _number(database, "PRAGMA user_version")
        if layout != LAYOUT:
            raise sqlite3.DatabaseError(f"its layout is {layout}, not {LAYOUT}")
        owner = database.execute("SELECT fleet, device FROM owner").fetchone()
        if owner != self._owner:
            raise sqlite3.DatabaseError(f"it holds the reports of {owner}, not of {self._owner}")
        if (answer := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(answer)

    def _put_aside(self) -> None:
        """As .broken, in place of an earlier one: what is kept of broken files is bounded too."""
        aside = Path(f"{self.path}.broken")
        try:
            # The log goes first: SQLite would otherwise read it into the new file.
            for end in ("-shm", "-wal", ""):
                there = Path(f"{self.path}{end}")
                if there.exists():
                    there.replace(f"{aside}{end}")
        except OSError as error:
            raise self._failed(f"it is broken and can't be set aside: {error.strerror}") from error
        self.set_aside += 1

    def _let_go(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _failed(self, why: object) -> SpoolFailedError:
        return SpoolFailedError(f"{self.path}: {why}")


def _says_broken(error: sqlite3.Error) -> bool:
    """Whether the file's content is at fault, not the disk, its rights or somebody's lock."""
    # "malformed" and "not a database" are DatabaseError itself; the world's faults are subclasses.
    return type(error) is sqlite3.DatabaseError or "no such table" in str(error)


def _needed(add: Sequence[Entry]) -> int:
    # A page is rarely filled to the brim, and the tree above the pages grows with them.
    return sum(len(one.payload) for one in add) * 5 // 4 + 4 * PAGE_BYTES


def _number(database: sqlite3.Connection, question: str) -> int:
    return int(database.execute(question).fetchone()[0])


def _used_bytes(database: sqlite3.Connection) -> int:
    pages = _number(database, "PRAGMA page_count") - _number(database, "PRAGMA freelist_count")
    return pages * PAGE_BYTES

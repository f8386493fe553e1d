"""The audit in the ledger's database. An entry is written in the transaction of the change that it tells of:
there is no change without its entry, and no entry without its change.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Select, insert, select, update

from tidewatt_coordinator.audit.actor import Actor, actor, request_id
from tidewatt_coordinator.audit.chain import EMPTY, Broken, Entry, Head, first_broken, sealed
from tidewatt_coordinator.ledger.tables import audit_entry, audit_head
from tidewatt_wire.strangers import printable

_E, _H = audit_entry.c, audit_head.c
_COLUMNS = [_E[name] for name in Entry.__struct_fields__]
#: Entries read at once.
PART = 2000
#: Before every entry, also one that was put before the first.
FIRST = -(2**62)
#: A text longer than this is cut: the change itself is elsewhere, this is who made it.
LONGEST = 20_000


def record(
    connection: Connection,
    what: str,
    subject: str,
    *,
    fleet: str = "",
    before: object = None,
    after: object = None,
    why: str = "",
    by: str = "",
    who: Actor | None = None,
) -> Entry:
    """Add an entry in this transaction, best as the last that is done in it: it takes the chain's head.

    `by`: whom the caller claims to be; `who`: where not the caller but, say, a device did it.
    """
    acting = who or actor()
    # This update waits for whoever else adds an entry, and holds up who comes after, until all is done.
    connection.execute(update(audit_head).values(sequence=_H.sequence + 1))
    sequence, sha256 = connection.execute(select(_H.sequence, _H.sha256)).one()
    entry = Entry(
        sequence=0,
        at_ms=int(time.time() * 1000),
        fleet=fleet,
        actor=_clean(acting.id),
        kind=_clean(acting.kind),
        role=_clean(acting.role),
        by="" if by == acting.id else _clean(by),
        what=what,
        subject=_clean(subject),
        before=_json(before),
        after=_json(after),
        why=_clean(why),
        request=request_id(),
        previous="",
        sha256="",
    )
    made = sealed(entry, Head(int(sequence) - 1, str(sha256)))
    connection.execute(insert(audit_entry).values(msgspec.structs.asdict(made)))
    connection.execute(update(audit_head).values(sha256=made.sha256))
    return made


class Trail:
    """The audit as it is read, and added to where the change itself is no database's."""

    def __init__(self, database: Engine) -> None:
        """On a database whose tables are up to date."""
        self._database = database

    def record(self, what: str, subject: str, **told: Any) -> Entry:
        """Add an entry by itself; see `record`."""
        with self._database.begin() as connection:
            return record(connection, what, subject, **told)

    def head(self) -> Head:
        """Where it ends, as the database says; who took that away has taken away all of it."""
        with self._database.connect() as connection:
            row = connection.execute(select(_H.sequence, _H.sha256)).first()
        return Head(int(row[0]), str(row[1])) if row else EMPTY

    def entries(self, since: int = FIRST, until: int | None = None) -> Iterator[Entry]:
        """Those after a number, in order, up to another; read in parts, so that nothing is held open."""
        while part := self._read(self._after(since, until).limit(PART)):
            yield from part
            since = part[-1].sequence

    def newest(
        self, most: int, before: int | None = None, *, who: str = "", what: str = "", subject: str = ""
    ) -> list[Entry]:
        """The last ones, the newest first: those before a number, of an actor, whose `what` begins so."""
        rows = select(*_COLUMNS).order_by(_E.sequence.desc()).limit(most)
        if before is not None:
            rows = rows.where(_E.sequence < before)
        if who:
            rows = rows.where(_E.actor == who)
        if what:
            rows = rows.where(_E.what.startswith(what, autoescape=True))
        if subject:
            rows = rows.where(_E.subject == subject)
        return self._read(rows)

    def verify(self, anchors: Iterable[Head] = ()) -> tuple[Head, Broken | None]:
        """The head, and where the chain doesn't hold first. What is added meanwhile is left out."""
        head = self.head()
        broken = first_broken(self.entries(until=head.sequence), head, anchors)
        if broken is None and self._beyond(head):
            broken = Broken(head.sequence + 1, "there are entries after the head")
        return head, broken

    def _beyond(self, head: Head) -> bool:
        """Whether there are entries that the head, read after them, doesn't count."""
        with self._database.connect() as connection:
            last = connection.execute(select(_E.sequence).order_by(_E.sequence.desc()).limit(1)).scalar()
        return last is not None and last > head.sequence and last > self.head().sequence

    def _after(self, since: int, until: int | None) -> Select[Any]:
        rows = select(*_COLUMNS).where(_E.sequence > since).order_by(_E.sequence)
        return rows if until is None else rows.where(_E.sequence <= until)

    def _read(self, rows: Select[Any]) -> list[Entry]:
        names = Entry.__struct_fields__
        with self._database.connect() as connection:
            return [Entry(**dict(zip(names, row, strict=True))) for row in connection.execute(rows)]


def _json(value: object) -> str:
    """A value as canonical JSON; a long one's beginning and how long it was."""
    if value is None:
        return ""
    text = msgspec.json.encode(value, order="sorted").decode()
    if len(text) > LONGEST:
        text = msgspec.json.encode({"cut": text[:LONGEST], "length": len(text)}, order="sorted").decode()
    return text


def _clean(text: str) -> str:
    return printable(text[:LONGEST])

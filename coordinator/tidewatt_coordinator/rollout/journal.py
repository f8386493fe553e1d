"""The database's side of policy: standings, documents, events. Every write is one compare-and-set."""

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from tidewatt_coordinator.audit.store import record
from tidewatt_coordinator.ledger.tables import policy_document, policy_event, policy_standing
from tidewatt_coordinator.rollout.documents import Read
from tidewatt_coordinator.rollout.lease import Lease
from tidewatt_coordinator.rollout.standing import Standing

#: An order is tried again this often when the coordinator writes at the same moment.
MOST_TRIES = 20


class Changed(RuntimeError):
    """Somebody else wrote first; nothing was written."""


class Kept(msgspec.Struct, frozen=True):
    """A standing as read, with the version to compare when it is written again."""

    version: int
    standing: Standing


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of history."""

    at_ms: int
    what: str
    author: str
    reason: str
    revision: int = 0
    document: str = ""
    version: int = 0
    fencing: int = 0


class Journal:
    """One fleet's policy in the database."""

    def __init__(self, database: Engine, fleet: str) -> None:
        self._database, self._fleet = database, fleet

    def read(self) -> Kept | None:
        """What stands; None where nothing was ever written."""
        columns = select(policy_standing.c.version, policy_standing.c.standing)
        with self._database.connect() as connection:
            row = connection.execute(columns.where(policy_standing.c.fleet == self._fleet)).first()
        return None if row is None else Kept(int(row[0]), msgspec.json.decode(row[1], type=Standing))

    def version(self) -> int:
        """The version that stands, 0 for none: a cheap look for changes."""
        column = select(policy_standing.c.version).where(policy_standing.c.fleet == self._fleet)
        with self._database.connect() as connection:
            return int(connection.execute(column).scalar() or 0)

    def write(
        self,
        before: Kept | None,
        standing: Standing,
        event: Event | None,
        *,
        lease: Lease | None = None,
        read: Read | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> Kept:
        """Write what follows `before`, in one transaction with its event, its document, the lease's guard,
        and whatever `also` writes.

        Raises Changed if `before` stands no longer, LeaseLost if the lease is another's.
        """
        version = before.version + 1 if before else 1
        row = {
            "version": version,
            "revision": standing.revision,
            "standing": msgspec.json.encode(standing, order="deterministic").decode(),
        }
        try:
            with self._database.begin() as connection:
                if lease is not None:
                    lease.guard(connection)
                self._set(connection, before, row)
                if read is not None and event is not None:
                    _keep(connection, read, event)
                if event is not None:
                    self._tell(connection, event, standing, version, lease.fencing if lease else 0)
                if also is not None:
                    also(connection)
                if event is not None:
                    self._audit(connection, before, standing, event)
        except IntegrityError as error:
            raise Changed("the policy was changed by somebody else at this moment") from error
        return Kept(version, standing)

    def change(
        self, following: Callable[[Standing], Standing], event: Event, read: Read | None = None
    ) -> Standing:
        """Carry out an operator's order: what follows what stands, whoever else writes meanwhile.

        Raises what `following` raises; ValueError where nothing stands yet; Changed if others
        write all the time.
        """
        for _ in range(MOST_TRIES):
            kept = self.read()
            if kept is None:
                raise ValueError(f"fleet {self._fleet!r} has no policy in this database yet")
            try:
                return self.write(kept, following(kept.standing), event, read=read).standing
            except Changed:
                continue
        raise Changed("others change the policy all the time; try again")

    def history(self, most: int, before: int | None = None) -> list[Event]:
        """The last events, the newest first; those before a version."""
        table = policy_event.c
        names = Event.__struct_fields__
        rows = (
            select(*(table[name] for name in names))
            .where(table.fleet == self._fleet)
            .order_by(table.version.desc())
            .limit(most)
        )
        if before is not None:
            rows = rows.where(table.version < before)
        with self._database.connect() as connection:
            return [Event(**dict(zip(names, row, strict=True))) for row in connection.execute(rows)]

    def document(self, sha256: str) -> str | None:
        """The text of a document that was in force or on its way, by its digest or the digest's beginning."""
        table = policy_document.c
        text = select(table.text).where(table.sha256.startswith(sha256, autoescape=True)).limit(1)
        with self._database.connect() as connection:
            return connection.execute(text).scalar()

    def _set(self, connection: Connection, before: Kept | None, row: dict[str, object]) -> None:
        if before is None:
            connection.execute(insert(policy_standing).values(fleet=self._fleet, **row))
            return
        mine = (policy_standing.c.fleet == self._fleet) & (policy_standing.c.version == before.version)
        if connection.execute(update(policy_standing).where(mine).values(row)).rowcount != 1:
            raise Changed("the policy was changed by somebody else at this moment")

    def _audit(self, connection: Connection, before: Kept | None, standing: Standing, event: Event) -> None:
        record(
            connection,
            f"policy {event.what}",
            self._fleet,
            fleet=self._fleet,
            before=_shown(before.standing) if before else None,
            after=_shown(standing),
            why=event.reason,
            by=event.author,
        )

    def _tell(
        self, connection: Connection, event: Event, standing: Standing, version: int, fencing: int
    ) -> None:
        said = msgspec.structs.replace(event, revision=standing.revision, version=version, fencing=fencing)
        connection.execute(insert(policy_event).values(fleet=self._fleet, **msgspec.structs.asdict(said)))


def _shown(standing: Standing) -> dict[str, object]:
    state, content = standing.rollout, standing.content
    rollout = {"id": state.id, "stage": state.stage, "wave": state.wave} if state else None
    now = {"revision": standing.revision, "name": content.name, "document": content.document}
    return now | {"rollout": rollout}


def _keep(connection: Connection, read: Read, event: Event) -> None:
    known = select(policy_document.c.sha256).where(policy_document.c.sha256 == read.sha256)
    if connection.execute(known).first():
        return
    row = {"name": read.document.name, "language": read.language, "text": read.text}
    who = {"author": event.author, "at_ms": event.at_ms}
    connection.execute(insert(policy_document).values(sha256=read.sha256, **row, **who))

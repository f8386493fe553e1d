"""Proposals and their journal in the database. Every write is one compare-and-set with its event."""

from collections.abc import Callable, Iterable

import msgspec
from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tidewatt_coordinator.audit.store import record
from tidewatt_coordinator.ledger.tables import lever_freeze, proposal, proposal_event
from tidewatt_coordinator.proposals.score import same
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.rollout.journal import Changed
from tidewatt_coordinator.rollout.lease import Lease

_P, _E = proposal.c, proposal_event.c
#: An order is tried again this often when the coordinator writes at the same moment.
MOST_TRIES = 20
#: What was begun within the last hour is asked for, by clocks that differ by no more than another.
LATELY_MS = 7_200_000


class Kept(msgspec.Struct, frozen=True):
    """A proposal as read, with the version to compare when it is written again."""

    version: int
    proposal: Proposal


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a proposal's history."""

    id: str
    version: int
    at_ms: int
    stage: str
    author: str
    reason: str
    fencing: int = 0


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """The global stop, as somebody called it."""

    since_ms: int
    author: str
    reason: str


class Proposals:
    """One fleet's."""

    def __init__(self, database: Engine, fleet: str) -> None:
        self.database, self.fleet = database, fleet

    def make(self, new: Proposal, author: str, *, lease: Lease | None = None) -> Kept:
        """Keep a new one. Changed if there is one of that id."""
        try:
            with self.database.begin() as connection:
                if lease:
                    lease.guard(connection)
                row = {"id": new.id, "fleet": self.fleet, "same": same(new.recommendation), "version": 1}
                connection.execute(insert(proposal).values(**row, **_columns(new)))
                self._tell(connection, new, (1, new.made_ms), author, lease)
                if new.stage != "open":
                    self._audit(connection, None, new, author)
        except IntegrityError as error:
            raise Changed(f"there is a proposal {new.id} already") from error
        return Kept(1, new)

    def write(
        self,
        before: Kept,
        after: Proposal,
        author: str,
        now_ms: int,
        *,
        lease: Lease | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> Kept:
        """Write what follows `before`, in one transaction with the lease's guard and whatever `also` writes;
        with an event where the stage or its reason is another.

        Raises Changed if `before` stands no longer, LeaseLost if the lease is another's.
        """
        version = before.version + 1
        mine = (_P.id == after.id) & (_P.fleet == self.fleet) & (_P.version == before.version)
        with self.database.begin() as connection:
            if lease:
                lease.guard(connection)
            row = _columns(after) | {"version": version}
            if connection.execute(update(proposal).where(mine).values(row)).rowcount != 1:
                raise Changed(f"proposal {after.id} was changed by somebody else at this moment")
            if (after.stage, after.reason) != (before.proposal.stage, before.proposal.reason):
                self._tell(connection, after, (version, now_ms), author, lease)
            if also:
                also(connection)
            if after.stage != before.proposal.stage:
                self._audit(connection, before.proposal, after, author)
        return Kept(version, after)

    def order(self, name: str, following: Callable[[Proposal], Proposal], author: str, now_ms: int) -> Kept:
        """Carry out a person's order, whoever else writes meanwhile. Raises what `following` raises,
        ValueError for an unknown id, Changed if others write all the time.
        """
        for _ in range(MOST_TRIES):
            kept = self.get(name)
            try:
                return self.write(kept, following(kept.proposal), author, now_ms)
            except Changed:
                continue
        raise Changed("others change this proposal all the time; try again")

    def get(self, name: str) -> Kept:
        """One by its id or the id's beginning; ValueError if not exactly one has it."""
        rows = select(_P.version, _P.content).where(
            _P.fleet == self.fleet, _P.id.startswith(name, autoescape=True)
        )
        with self.database.connect() as connection:
            found = [_kept(row[0], row[1]) for row in connection.execute(rows.limit(2))]
        if len(found) != 1 or not name:
            many = "more than one proposal begins" if found else "no proposal begins"
            raise ValueError(f"{many} with {name!r}; `tidewatt recommend ls --all` lists them")
        return found[0]

    def of(self, stages: Iterable[str], driver: str = "") -> list[Kept]:
        """Those in any of these stages, the oldest first."""
        rows = select(_P.version, _P.content).where(_P.fleet == self.fleet, _P.stage.in_(list(stages)))
        if driver:
            rows = rows.where(_P.driver == driver)
        with self.database.connect() as connection:
            return [_kept(row[0], row[1]) for row in connection.execute(rows.order_by(_P.made_ms, _P.id))]

    def lately(self, stages: Iterable[str], since_ms: int) -> list[Kept]:
        """Those in any of these stages that something was told of after that moment, the oldest first."""
        wanted = list(stages)
        told = select(_E.id).where(_E.at_ms > since_ms, _E.stage.in_(wanted))
        rows = select(_P.version, _P.content).where(
            _P.fleet == self.fleet, _P.stage.in_(wanted), _P.id.in_(told)
        )
        with self.database.connect() as connection:
            return [_kept(row[0], row[1]) for row in connection.execute(rows.order_by(_P.made_ms, _P.id))]

    def latest(self, digest: str) -> Kept | None:
        """The last one that would do the same."""
        rows = select(_P.version, _P.content).where(_P.fleet == self.fleet, _P.same == digest)
        with self.database.connect() as connection:
            row = connection.execute(rows.order_by(_P.made_ms.desc(), _P.id.desc()).limit(1)).first()
        return None if row is None else _kept(row[0], row[1])

    def page(self, service: str, most: int, after: str = "", stages: Iterable[str] = ()) -> list[Kept]:
        """At most so many of a service ("": of all), in order of their ids, those after an id."""
        rows = select(_P.version, _P.content).where(_P.fleet == self.fleet, _P.id > after)
        if service:
            rows = rows.where(_P.service == service)
        if wanted := list(stages):
            rows = rows.where(_P.stage.in_(wanted))
        with self.database.connect() as connection:
            return [_kept(row[0], row[1]) for row in connection.execute(rows.order_by(_P.id).limit(most))]

    def begun_since(self, ms: int) -> int:
        """How many were first sent after that moment, routine left out; within two hours of it: what lies
        farther on was sent by a clock that has been set back since.
        """
        lately = _P.begun_ms.between(ms + 1, ms + LATELY_MS)
        rows = select(_P.version, _P.content).where(_P.fleet == self.fleet, lately)
        with self.database.connect() as connection:
            found = [_kept(row[0], row[1]).proposal for row in connection.execute(rows)]
        return sum(not one.recommendation.routine for one in found)

    def history(self, name: str = "", service: str = "", most: int = 100, after: int = 0) -> list[Event]:
        """The last events of one, of a service's, or of all, the newest first; `after`: leave out so many."""
        rows = select(proposal_event).join(proposal, _P.id == _E.id).where(_P.fleet == self.fleet)
        if name:
            rows = rows.where(_E.id == name)
        if service:
            rows = rows.where(_P.service == service)
        rows = rows.order_by(_E.at_ms.desc(), _E.id, _E.version.desc()).offset(after).limit(most)
        with self.database.connect() as connection:
            return [Event(**row) for row in connection.execute(rows).mappings()]

    def stop(self) -> Stop | None:
        """The global stop, if somebody called it."""
        mine = lever_freeze.c.fleet == self.fleet
        columns = [lever_freeze.c[name] for name in Stop.__struct_fields__]
        with self.database.connect() as connection:
            row = connection.execute(select(*columns).where(mine)).mappings().first()
        return None if row is None else Stop(**row)

    def freeze(self, stop: Stop) -> None:
        """Stop everything; the last call counts."""
        with self.database.begin() as connection:
            connection.execute(delete(lever_freeze).where(lever_freeze.c.fleet == self.fleet))
            connection.execute(insert(lever_freeze).values(fleet=self.fleet, **msgspec.structs.asdict(stop)))
            since = {"since_ms": stop.since_ms}
            record(
                connection, "freeze", self.fleet,
                fleet=self.fleet, after=since, why=stop.reason, by=stop.author,
            )  # fmt: skip

    def unfreeze(self) -> bool:
        """Let everything go on; False if nothing was frozen."""
        with self.database.begin() as connection:
            done = connection.execute(delete(lever_freeze).where(lever_freeze.c.fleet == self.fleet))
            if done.rowcount:
                record(connection, "unfreeze", self.fleet, fleet=self.fleet)
        return done.rowcount == 1

    def _audit(self, connection: Connection, before: Proposal | None, after: Proposal, author: str) -> None:
        made = after.recommendation
        was: dict[str, object] | None = {"stage": before.stage} if before else None
        now: dict[str, object] = {"stage": after.stage, "driver": made.driver, "target": made.target}
        if after.stage in ("applying", "undoing"):
            puts = (made.before, made.after) if after.stage == "applying" else (made.after, made.before)
            was, now = {**(was or {}), "setting": puts[0]}, now | {"setting": puts[1]}
        record(
            connection, f"proposal {after.stage}", after.id,
            fleet=self.fleet, before=was, after=now, why=after.reason, by=author,
        )  # fmt: skip

    def _tell(
        self, connection: Connection, state: Proposal, turn: tuple[int, int], author: str, lease: Lease | None
    ) -> None:
        said = Event(
            id=state.id,
            version=turn[0],
            at_ms=turn[1],
            stage=state.stage,
            author=author,
            reason=state.reason,
            fencing=lease.fencing if lease else 0,
        )
        connection.execute(insert(proposal_event).values(**msgspec.structs.asdict(said)))


def open_proposals(database: Engine, fleet: str) -> list[Proposal]:
    """What is proposed and waits for a person, a limit or its turn: by saving, the largest first."""
    found = [kept.proposal for kept in Proposals(database, fleet).of(("open", "approved"))]
    return sorted(found, key=lambda one: (-one.recommendation.saving.middle, one.id))


def _columns(state: Proposal) -> dict[str, object]:
    return {
        "driver": state.recommendation.driver,
        "target": state.recommendation.target,
        "service": state.recommendation.service,
        "stage": state.stage,
        "made_ms": state.made_ms,
        "begun_ms": state.begun_ms,
        "content": msgspec.json.encode(state).decode(),
    }


def _kept(version: int, content: str) -> Kept:
    return Kept(version, msgspec.json.decode(content, type=Proposal))

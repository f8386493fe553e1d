"""Orders and the last table in the database: what several coordinators and the commands share."""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from tidewatt_coordinator.audit.store import record
from tidewatt_coordinator.dispatch.table import Table
from tidewatt_coordinator.ledger.tables import dispatch_order, dispatch_state
from tidewatt_coordinator.steering.choosing import Facts
from tidewatt_coordinator.steering.demand import Demand
from tidewatt_coordinator.steering.orders import Order, WrongOrder, check
from tidewatt_wire.messages import DispatchTable

_ORDER = dispatch_order.c


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A table as it was published, and what it was made of."""

    message: DispatchTable
    table: Table
    facts: Facts
    """With those backends draining that an order drained."""
    notes: list[str]
    currency: str
    demand: Demand | None = None

    @property
    def epoch(self) -> int:
        """The table's."""
        return self.message.epoch


class Book:
    """One fleet's."""

    def __init__(self, database: Engine, fleet: str) -> None:
        self.database, self._fleet = database, fleet

    def order(self, order: Order) -> bool:
        """Keep an order; False if it is there already. WrongOrder for one that can't be followed."""
        row = {
            "id": order.id,
            "fleet": self._fleet,
            "made_ms": order.made_ms,
            "until_ms": order.until_ms,
            "ended_ms": order.ended_ms,
            "ended_by": order.ended_by,
            "in_force_ms": order.in_force_ms,
            "content": msgspec.json.encode(check(order)).decode(),
        }
        try:
            with self.database.begin() as connection:
                connection.execute(insert(dispatch_order).values(row))
                self._audit(connection, f"dispatch {order.kind}", None, order, order.by)
        except IntegrityError:
            return False
        return True

    def end(self, name: str, by: str, now_ms: int) -> Order:
        """Take an order back, by its id or the id's beginning; WrongOrder if none such holds."""
        fitting = [one for one in self.holding(now_ms) if one.id.startswith(name)]
        if len(fitting) != 1:
            known = ", ".join(one.id for one in self.holding(now_ms)) or "none"
            raise WrongOrder(f"{len(fitting)} orders that hold begin with {name!r}; those that hold: {known}")
        ended = replace(fitting[0], ended_ms=now_ms, ended_by=by)
        with self.database.begin() as connection:
            gone = connection.execute(
                update(dispatch_order)
                .where(_ORDER.id == ended.id, _ORDER.ended_ms.is_(None))
                .values(ended_ms=now_ms, ended_by=by)
            )
            if gone.rowcount:
                self._audit(connection, "dispatch thaw", fitting[0], ended, by)
        return ended

    def in_force(self, names: Iterable[str], now_ms: int) -> None:
        """Say when the first table that follows these orders was on the broker."""
        with self.database.begin() as connection:
            connection.execute(
                update(dispatch_order)
                .where(_ORDER.id.in_(list(names)), _ORDER.in_force_ms.is_(None))
                .values(in_force_ms=now_ms)
            )

    def _audit(self, connection: Connection, what: str, before: Order | None, after: Order, by: str) -> None:
        record(
            connection, what, after.id,
            fleet=self._fleet, before=before, after=after, why=after.why, by=by,
        )  # fmt: skip

    def holding(self, now_ms: int) -> list[Order]:
        """The orders to be followed now, the oldest first."""
        with self.database.connect() as connection:
            rows = connection.execute(
                select(dispatch_order)
                .where(_ORDER.fleet == self._fleet, _ORDER.until_ms > now_ms, _ORDER.ended_ms.is_(None))
                .order_by(_ORDER.made_ms, _ORDER.id)
            )
            return [_order(row) for row in rows]

    def history(self, most: int) -> list[Order]:
        """Who asked for what, the newest first."""
        with self.database.connect() as connection:
            rows = connection.execute(
                select(dispatch_order)
                .where(_ORDER.fleet == self._fleet)
                .order_by(_ORDER.made_ms.desc(), _ORDER.id)
                .limit(most)
            )
            return [_order(row) for row in rows]

    def keep(self, kept: Kept) -> None:
        """Keep a table that was published, unless a newer one is there."""
        row = {"epoch": kept.epoch, "content": msgspec.json.encode(kept).decode()}
        mine = dispatch_state.c.fleet == self._fleet
        with self.database.begin() as connection:
            newer = dispatch_state.c.epoch < kept.epoch
            if connection.execute(update(dispatch_state).where(mine, newer).values(row)).rowcount:
                return
            if connection.execute(select(dispatch_state.c.fleet).where(mine)).first():
                return
            connection.execute(insert(dispatch_state).values(fleet=self._fleet, **row))

    def epoch(self) -> int:
        """The last table's epoch; 0 before the first."""
        column = select(dispatch_state.c.epoch).where(dispatch_state.c.fleet == self._fleet)
        with self.database.connect() as connection:
            return int(connection.execute(column).scalar() or 0)

    def last(self) -> Kept | None:
        """The last table; None before the first, or if another version of the product kept it."""
        column = select(dispatch_state.c.content).where(dispatch_state.c.fleet == self._fleet)
        with self.database.connect() as connection:
            content = connection.execute(column).scalar()
        try:
            return None if content is None else msgspec.json.decode(content, type=Kept)
        except msgspec.DecodeError:
            return None


def _order(row: Row[tuple[object, ...]]) -> Order:
    found = msgspec.json.decode(row.content, type=Order)
    return replace(found, ended_ms=row.ended_ms, ended_by=row.ended_by, in_force_ms=row.in_force_ms)

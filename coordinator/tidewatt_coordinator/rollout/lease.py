"""The lease: which of several coordinators advances rollouts and publishes, until when.

One row, taken by compare-and-set. Every taking raises the fencing number, and every write
of the holder is bound to it in the same transaction, so one that slept through its lease
can't write any more, whatever it believes. Times are real milliseconds since 1970, not a
simulation's: the coordinators' clocks must agree to well within the lease.
"""

from collections.abc import Callable

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from tidewatt_coordinator.ledger.tables import lease

#: The holder stops believing in its lease this share of it before it ends: clocks differ a little.
MARGIN = 0.2
#: A lease that ends later than so many of its lengths from now was written by a clock that was ahead.
FARTHEST = 20


class LeaseLost(RuntimeError):
    """Somebody else holds the lease now; nothing was written."""


class Lease:
    """One coordinator's hold, or none. Not thread-safe: one task keeps it."""

    def __init__(
        self, database: Engine, name: str, holder: str, lasts_ms: int, now_ms: Callable[[], int]
    ) -> None:
        self._database, self._name, self._lasts_ms, self._now_ms = database, name, lasts_ms, now_ms
        self.holder = holder
        self.fencing = 0
        """The number it was taken with; 0 before the first time."""
        self._expires_ms = 0

    def keep(self) -> bool:
        """Renew it, or take it if it is free; whether it is held now. One transaction."""
        now_ms = self._now_ms()
        if not (self.fencing and self._renewed(now_ms)):
            self._expires_ms = 0
            self._take(now_ms)
        return self.held()

    def held(self) -> bool:
        """Whether it is surely held at this moment; asks no database."""
        return self._now_ms() < self._expires_ms - MARGIN * self._lasts_ms

    def guard(self, connection: Connection) -> None:
        """Bind the transaction to the lease; LeaseLost if somebody has taken it since."""
        mine = (lease.c.name == self._name) & (lease.c.fencing == self.fencing)
        # An update, not a look: it locks the row until the transaction ends.
        bound = connection.execute(update(lease).where(mine).values(holder=self.holder))
        if not self.fencing or bound.rowcount != 1:
            self._expires_ms = 0
            raise LeaseLost(f"another coordinator holds the lease {self._name!r}")

    def release(self) -> None:
        """Let others take it at once."""
        mine = (lease.c.name == self._name) & (lease.c.fencing == self.fencing)
        with self._database.begin() as connection:
            connection.execute(update(lease).where(mine, lease.c.holder == self.holder).values(expires_ms=0))
        self._expires_ms = 0

    def _renewed(self, now_ms: int) -> bool:
        mine = (lease.c.name == self._name) & (lease.c.fencing == self.fencing)
        expires_ms = now_ms + self._lasts_ms
        with self._database.begin() as connection:
            done = connection.execute(update(lease).where(mine).values(expires_ms=expires_ms))
        if done.rowcount == 1:
            self._expires_ms = expires_ms
        return done.rowcount == 1

    def _take(self, now_ms: int) -> None:
        expires_ms = now_ms + self._lasts_ms
        # Else nobody could take it until that clock's time has come, a day or a year from now. Its holder, if
        # there still is one, is told by its next write.
        odd_ms = now_ms + FARTHEST * self._lasts_ms
        ended = (lease.c.expires_ms <= now_ms) | (lease.c.expires_ms > odd_ms)
        free = (lease.c.name == self._name) & ended
        taken = {"holder": self.holder, "fencing": lease.c.fencing + 1, "expires_ms": expires_ms}
        try:
            with self._database.begin() as connection:
                if connection.execute(update(lease).where(free).values(taken)).rowcount != 1:
                    if connection.execute(select(lease.c.name).where(lease.c.name == self._name)).first():
                        return
                    row = {"holder": self.holder, "fencing": 1, "expires_ms": expires_ms}
                    connection.execute(insert(lease).values(name=self._name, **row))
                fencing = connection.execute(
                    select(lease.c.fencing).where(lease.c.name == self._name)
                ).scalar()
        except IntegrityError:
            return  # another coordinator made the row first
        self.fencing, self._expires_ms = int(fencing or 0), expires_ms

"""Which months were sent: one row for each fleet and month, in the ledger's database."""

from sqlalchemy import ColumnElement, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from tidewatt_coordinator.ledger.tables import report_sent as table

#: A sender that has not ended by then is taken for dead.
CLAIM_MS = 3_600_000


class SentBook:
    """The months of one fleet. Thread-safe; every method is one transaction. Times are real ones.

    Whoever sends claims the month first, and its claim is the time until which it holds: of two
    coordinators one gets it, and after a crash another does when it has run out.
    """

    def __init__(self, database: Engine, fleet: str) -> None:
        self._database, self._fleet = database, fleet

    def claim(self, month: str, real_ms: int) -> int | None:
        """The claim, if the month was not sent, nobody holds it and it is time to try (again); else None."""
        until_ms = real_ms + CLAIM_MS
        row = {"fleet": self._fleet, "month": month, "due_ms": until_ms, "tries": 0, "error": ""}
        free = self._mine(month) & table.c.sent_ms.is_(None) & (table.c.due_ms <= real_ms)
        try:
            with self._database.begin() as connection:
                if connection.execute(update(table).where(free).values(due_ms=until_ms)).rowcount == 1:
                    return until_ms
                if connection.execute(select(table.c.month).where(self._mine(month))).first():
                    return None
                connection.execute(insert(table).values(row))
        except IntegrityError:
            return None  # another coordinator was faster
        return until_ms

    def renew(self, month: str, claim: int, real_ms: int) -> int | None:
        """The claim anew, just before it is used; None if it ran out and somebody else has taken it."""
        until_ms = max(real_ms + CLAIM_MS, claim + 1)
        return until_ms if self._change(month, claim, due_ms=until_ms) else None

    def sent(self, month: str, claim: int, real_ms: int, error: str = "") -> None:
        """It went out, to all or (`error`) to some; it won't be sent again."""
        self._change(month, claim, sent_ms=real_ms, error=error)

    def failed(self, month: str, claim: int, error: str, due_ms: int) -> None:
        """It did not; try again from `due_ms` on."""
        self._change(month, claim, due_ms=due_ms, error=error, tries=table.c.tries + 1)

    def tries(self, month: str) -> int:
        """How often it was tried in vain."""
        with self._database.connect() as connection:
            found = connection.execute(select(table.c.tries).where(self._mine(month))).scalar()
        return int(found or 0)

    def _mine(self, month: str) -> ColumnElement[bool]:
        return (table.c.fleet == self._fleet) & (table.c.month == month)

    def _change(self, month: str, claim: int, **values: object) -> bool:
        held = self._mine(month) & (table.c.due_ms == claim) & table.c.sent_ms.is_(None)
        with self._database.begin() as connection:
            return connection.execute(update(table).where(held).values(**values)).rowcount == 1

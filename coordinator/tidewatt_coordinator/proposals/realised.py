"""What was kept becomes a change in the ledger, whose realised saving is compared with the one promised."""

from sqlalchemy import Connection, update

from tidewatt_coordinator.ledger.tables import change as table
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.questions.changes import Change, record


def change_of(one: Proposal) -> Change | None:
    """The change; None if its saving is counted elsewhere, or can't be: routine follows demand several times
    a day, and no bill tells one such move's saving from the next one's.
    """
    told = one.recommendation
    if told.routine or told.selector is None or one.begun_ms is None or one.stood_ms is None:
        return None
    return Change(
        id=_name(one),
        kind=told.driver,
        what=told.what,
        begun_ms=one.begun_ms,
        at_ms=one.stood_ms,
        selector=told.selector,
        predicted_per_month=told.saving.middle,
        currency=told.saving.currency,
        evidence="; ".join(told.evidence),
    )


def record_kept(connection: Connection, one: Proposal) -> None:
    """Keep the change as a part of a transaction."""
    if change := change_of(one):
        record(connection, change)


def record_undone(connection: Connection, one: Proposal) -> None:
    """Say that it was taken back, if it was ever kept."""
    connection.execute(update(table).where(table.c.id == _name(one)).values(undone_ms=one.since_ms))


def _name(one: Proposal) -> str:
    return f"lever-{one.id}"

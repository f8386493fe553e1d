"""Proposed changes, their journal, the global stop, and answers that are given twice."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from tidewatt_coordinator.ledger.tables.columns import metadata

#: A proposed change with its journal's last word, a proposals.state.Proposal as JSON; what is looked for has
#: a #: column. `same`: the digest of what it would do; `begun_ms`: when it was first sent.
proposal = Table(
    "proposal",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("fleet", String(63), nullable=False),
    Column("same", String(64), nullable=False),
    Column("driver", String(63), nullable=False),
    Column("target", Text, nullable=False),
    Column("service", String(255), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("begun_ms", BigInteger),
    Column("version", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
    Index("ix_proposal_stage", "fleet", "stage"),
    Index("ix_proposal_same", "fleet", "same", "made_ms"),
    Index("ix_proposal_service", "fleet", "service", "made_ms"),
)

#: Every stage that a proposal came to, with who, why, and the lease's number.
proposal_event = Table(
    "proposal_event",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("stage", String(20), nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("fencing", BigInteger, nullable=False),
)

#: The global stop: while a fleet has a row, nothing is applied.
lever_freeze = Table(
    "lever_freeze",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

#: What requests with an idempotency key were answered; `asked` is the digest of the request.
answered = Table(
    "answered",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("asked", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

"""Who changed what: a chain of entries, and where it ends."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from tidewatt_coordinator.ledger.tables.columns import metadata

#: An audit.chain.Entry each. Triggers keep it from being changed; who gets around them breaks the chain.
audit_entry = Table(
    "audit_entry",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("fleet", String(63), nullable=False),
    *(
        Column(name, Text, nullable=False)
        for name in (
            "actor", "kind", "role", "by", "what", "subject", "before", "after", "why", "request",
            "previous", "sha256",
        )
    ),
    Index("ix_audit_entry_subject", "subject", "sequence"),
)  # fmt: skip

#: One row, which every writer takes for the length of its transaction: so there is one chain.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
)

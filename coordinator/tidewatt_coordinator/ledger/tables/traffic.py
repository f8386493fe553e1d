"""Orders for the routing weights, the last table, the last plan."""

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from tidewatt_coordinator.ledger.tables.columns import metadata

#: What was ordered of the routing weights, a steering.orders.Order as JSON; what changes of it has a column.
dispatch_order = Table(
    "dispatch_order",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("fleet", String(63), nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("ended_by", Text, nullable=False),
    Column("in_force_ms", BigInteger),
    Column("content", Text, nullable=False),
    Index("ix_dispatch_order_until", "fleet", "until_ms"),
)

#: The last dispatch table with all that it was made of: a steering.book.Kept as JSON.
dispatch_state = Table(
    "dispatch_state",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
)

#: The last plan of the fleet: a hinting.shown.Shown as JSON.
plan_state = Table(
    "plan_state",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("minute", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
)

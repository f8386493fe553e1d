"""Alerts, and to whom they are told."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from tidewatt_coordinator.ledger.tables.columns import metadata

#: Alerts, each episode a row: an alerts.episodes.Standing, details as JSON.
alert = Table(
    "alert",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("episode", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("summary", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("acked_ms", BigInteger),
    Column("acked_by", Text, nullable=False),
    Column("note", Text, nullable=False),
)

#: What is to be told to a target, and was: `step` orders what one episode tells, `due_ms` and `done_ms`
#: are real time; `payload` is the wire's Alert.
alert_delivery = Table(
    "alert_delivery",
    metadata,
    Column("event", String(32), primary_key=True),
    Column("target", String(63), primary_key=True),
    Column("fleet", String(63), nullable=False),
    Column("name", String(63), nullable=False),
    Column("episode", BigInteger, nullable=False),
    Column("step", Integer, nullable=False),
    Column("payload", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("done_ms", BigInteger),
    Column("error", Text, nullable=False),
    Index("ix_alert_delivery_waiting", "fleet", "done_ms", "due_ms"),
)

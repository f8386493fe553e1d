"""What the ledger stores. Made and changed only by the migrations; a test holds the two together."""

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text

from tidewatt_coordinator.ledger.arithmetic import COUNTERS

metadata = MetaData()


def _key() -> list[Column[Any]]:
    return [
        Column("device", String(63), primary_key=True),
        Column("epoch", String(64), primary_key=True),
        Column("bucket_ms", BigInteger, primary_key=True, autoincrement=False),
    ]


def _span(*counters: str) -> list[Column[int]]:
    """The columns of a Span: its times, then least and greatest of every counter."""
    names = [
        "first_ms",
        "last_ms",
        *(f"{counter}_{end}" for counter in counters for end in ("least", "greatest")),
    ]
    return [Column(name, BigInteger, nullable=False) for name in names]


#: One row per device, epoch and bucket.
device_bucket = Table("device_bucket", metadata, *_key(), *_span(*COUNTERS))

#: The same for the time spent in each power mode.
mode_bucket = Table(
    "mode_bucket", metadata, *_key(), Column("mode", String(63), primary_key=True), *_span("mode_ms")
)

#: Facts that hold for the whole ledger, such as its bucket length.
ledger_fact = Table(
    "ledger_fact",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("value", Text, nullable=False),
)

#: A promise of one certificate, by the hash of its token; it is used at most once.
enroll_token = Table(
    "enroll_token",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("device", String(63)),
    Column("made_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Column("used_by", String(63)),
)

#: Every certificate that the fleet's CA gave out; the serial number in hexadecimal digits.
issued_certificate = Table(
    "issued_certificate",
    metadata,
    Column("serial", String(40), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("name", String(255), nullable=False, index=True),
    Column("kind", String(15), nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)

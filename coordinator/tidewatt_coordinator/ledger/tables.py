"""What the ledger stores. Made and changed only by the migrations; a test holds the two together."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text

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

#: Policy documents as people wrote them, each once, with who put it in force or on its way first.
policy_document = Table(
    "policy_document",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("language", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

#: What each fleet's operator wants: a rollout.standing.Standing as JSON. `version` rises with every write.
policy_standing = Table(
    "policy_standing",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("standing", Text, nullable=False),
)

#: What happened to it, by whom and why; `fencing` is the lease's number where the coordinator did it.
policy_event = Table(
    "policy_event",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("what", String(20), nullable=False),
    Column("author", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("document", String(64), nullable=False),
    Column("fencing", BigInteger, nullable=False),
)

#: Who of several coordinators advances rollouts and publishes.
lease = Table(
    "lease",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("holder", String(100), nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

#: The devices as last heard of, for commands that run while no coordinator does.
known_device = Table(
    "known_device",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("device", String(63), primary_key=True),
    Column("status", String(10), nullable=False),
    Column("labels", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("ack", String(20), nullable=False),
    Column("code", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("skew_ms", BigInteger, nullable=True),
    Column("seen_ms", BigInteger, nullable=False),
)

#: What a zone's electricity emitted per kWh, as one source told it; `kind` is average or marginal.
carbon_intensity = Table(
    "carbon_intensity",
    metadata,
    Column("zone", String(63), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("source", String(20), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("grams_per_kwh", String(40), nullable=False),
    Column("estimated", Integer, nullable=False),
)

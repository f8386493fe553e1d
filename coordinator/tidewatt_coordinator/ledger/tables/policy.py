"""What operators want of devices, who may speak for the fleet, and who are its own."""

from sqlalchemy import BigInteger, Column, String, Table, Text

from tidewatt_coordinator.ledger.tables.columns import metadata

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

"""Keys, sessions and begun logins. Of whatever lets somebody in only the SHA-256 is kept; a begun login's
nonce and verifier are worth nothing without the provider's code and the browser's cookie.
"""

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from tidewatt_coordinator.ledger.tables.columns import metadata

access_key = Table(
    "access_key",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("fleet", String(63), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("role", String(15), nullable=False),
    Column("sites", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=True),
    Column("used_ms", BigInteger, nullable=True),
    Column("revoked_ms", BigInteger, nullable=True),
)

access_session = Table(
    "access_session",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("fleet", String(63), nullable=False),
    Column("kind", String(15), nullable=False),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", String(15), nullable=False),
    Column("sites", Text, nullable=False),
    Column("begun_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
    Index("ix_access_session_ends", "ends_ms"),
)

access_login = Table(
    "access_login",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("browser", String(64), nullable=False),
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    Column("after", Text, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
)

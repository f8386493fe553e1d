"""What devices told, and what is kept aside."""

from sqlalchemy import BigInteger, Column, Index, String, Table, Text, text

from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.tables.columns import NEVER_MS, key, metadata, span, whole

#: One row per device, epoch and bucket.
device_bucket = Table("device_bucket", metadata, *key(), *span(*COUNTERS), sqlite_with_rowid=False)

#: The same for the time spent in each power mode.
mode_bucket = Table(
    "mode_bucket",
    metadata,
    *key(),
    Column("mode", String(63), primary_key=True),
    *span("mode_ms"),
    sqlite_with_rowid=False,
)

#: One row per device and epoch: its greatest counters; since when its buckets have changed after they
#: were rolled up last (`dirty_ms`), or compared with fixed modes (`compare_ms`); and where rolling up can
#: begin again: an hour that has reports, and the counters at its start. An hour of -1 means from the first
#: report on.
device_life = Table(
    "device_life",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    *whole("dirty_ms", "last_ms", *(f"{counter}_greatest" for counter in COUNTERS)),
    Column("resume_ms", BigInteger, nullable=False, server_default=text("-1")),
    *(
        Column(f"{counter}_resume", BigInteger, nullable=False, server_default=text("0"))
        for counter in COUNTERS
    ),
    Column("compare_ms", BigInteger, nullable=False, server_default=text(str(NEVER_MS))),
    Index("ix_device_life_dirty_ms", "dirty_ms"),
    Index("ix_device_life_compare_ms", "compare_ms"),
    sqlite_with_rowid=False,
)

#: The greatest time and energy asleep of a life, and of each of its days: of lives that sleep alone.
asleep_life = Table(
    "asleep_life",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    *whole("asleep_mj", "asleep_ms"),
    sqlite_with_rowid=False,
)
asleep_day = Table(
    "asleep_day",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False, index=True),
    *whole("asleep_mj", "asleep_ms"),
    sqlite_with_rowid=False,
)

#: Where each device stands now.
device_site = Table(
    "device_site",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("site", String(200), nullable=False),
)

#: Reports that can't be true, each once, with the reason.
quarantine = Table(
    "quarantine",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("came_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("code", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
)

#: Facts that hold for the whole ledger, such as its bucket length.
ledger_fact = Table(
    "ledger_fact",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("value", Text, nullable=False),
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

#: What each device said last, the report as JSON, for coordinators that share the reports: a view, never a
#: truth. `heard_ms` by the clock of the coordinator that heard it, `written_ms` by the database's.
device_now = Table(
    "device_now",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("device", String(63), primary_key=True),
    Column("session", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("heard_ms", BigInteger, nullable=False),
    Column("told", Text, nullable=False),
    Column("refused", Text, nullable=True),
    Column("teller", String(63), nullable=False),
    Column("written_ms", BigInteger, nullable=False),
)

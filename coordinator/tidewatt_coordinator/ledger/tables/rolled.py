"""What was rolled up of it: hours, days, sites, and what fixed modes would have used."""

from sqlalchemy import BigInteger, Column, String, Table, Text

from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.tables.columns import metadata, whole

#: What a device used in an hour: differences of counters, that sum to the counters themselves.
hour_use = Table(
    "hour_use",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    *whole(*COUNTERS),
    sqlite_with_rowid=False,
)

#: The same for a day (UTC), and the site that the device stood at. `first_hour_ms` is the first hour of it
#: that has reports (-1 for none), the `_at` columns the counters at that hour's start.
day_use = Table(
    "day_use",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("site", String(200), nullable=False),
    *whole(*COUNTERS, "first_hour_ms", *(f"{counter}_at" for counter in COUNTERS)),
    sqlite_with_rowid=False,
)

#: The sum of `day_use` over a site's devices.
site_day = Table(
    "site_day",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("site", String(200), primary_key=True),
    *whole(*COUNTERS),
    sqlite_with_rowid=False,
)

#: How often a day was rolled up: by it who keeps a copy of the hours sees which days are new.
day_version = Table(
    "day_version",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

#: How often an hour was rolled up anew: by it who reckons with hours sees which are new.
hour_version = Table(
    "hour_version",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

#: What fixed modes would have used (`name`, as in compared.py), summed over the lives of a day.
compared_day = Table(
    "compared_day",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(80), primary_key=True),
    *whole("lives", "energy_mj", "violating_ms", "lived_ms"),
    sqlite_with_rowid=False,
)

#: One life's part of that, as JSON, and the counters of the day's last report, where the next one begins.
compared_life = Table(
    "compared_life",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("parts", Text, nullable=False),
    Column("knot", Text, nullable=False),
    sqlite_with_rowid=False,
)

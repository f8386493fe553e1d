"""Buckets ordered by time, and in partitions on PostgreSQL; hours, days and sites rolled up; quarantine."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COUNTERS = ("energy_mj", "requests", "violating_ms", "unmeasured_ms", "switches", "unjudged_ms")


def upgrade() -> None:
    """Rebuild the bucket tables, make the new ones, and mark all there is to be rolled up."""
    _rebuild("device_bucket", _spans(*COUNTERS))
    _rebuild("mode_bucket", [sa.Column("mode", sa.String(63), primary_key=True), *_spans("mode_ms")])
    _make("hour_use", *_time("hour_ms"), *_life(), *_whole(*COUNTERS), partitioned="hour_ms")
    _make(
        "device_life",
        *_life(),
        *_whole("dirty_ms", "last_ms", *(f"{name}_greatest" for name in COUNTERS)),
        sa.Column("resume_ms", sa.BigInteger(), nullable=False, server_default=sa.text("-1")),
        *(
            sa.Column(f"{name}_resume", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
            for name in COUNTERS
        ),
    )
    op.create_index("ix_device_life_dirty_ms", "device_life", ["dirty_ms"])
    at = [f"{name}_at" for name in COUNTERS]
    site = sa.Column("site", sa.String(200), nullable=False)
    _make("day_use", *_time("day_ms"), *_life(), site, *_whole(*COUNTERS, "first_hour_ms", *at))
    _make(
        "site_day", *_time("day_ms"), sa.Column("site", sa.String(200), primary_key=True), *_whole(*COUNTERS)
    )
    op.create_table("day_version", *_time("day_ms"), *_whole("version"))
    op.create_table(
        "device_site",
        sa.Column("device", sa.String(63), primary_key=True),
        sa.Column("site", sa.String(200), nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("device", sa.String(63), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        *_whole("came_ms", "at_ms"),
        sa.Column("code", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
    )
    greatest = [f"{name}_greatest" for name in COUNTERS]
    op.execute(
        f"INSERT INTO device_life (device, epoch, dirty_ms, last_ms, {', '.join(greatest)}) "  # noqa: S608 - names
        "SELECT device, epoch, min(first_ms), max(last_ms), "
        f"{', '.join(f'max({name})' for name in greatest)} "
        "FROM device_bucket GROUP BY device, epoch"
    )


def downgrade() -> None:
    """Take the new tables away; the buckets stay as they are, which older code reads, too."""
    op.drop_index("ix_device_life_dirty_ms", "device_life")
    for table in (
        "quarantine",
        "device_site",
        "day_version",
        "site_day",
        "day_use",
        "device_life",
        "hour_use",
    ):
        op.drop_table(table)


def _rebuild(name: str, columns: list[Any]) -> None:
    """The same table with time first in its key."""
    op.rename_table(name, f"{name}_old")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER INDEX {name}_pkey RENAME TO {name}_old_pkey")
    _make(name, *_time("bucket_ms"), *_life(), *columns, partitioned="bucket_ms")
    names = ", ".join(["bucket_ms", "device", "epoch", *(column.name for column in columns)])
    op.execute(
        f"INSERT INTO {name} ({names}) SELECT {names} FROM {name}_old "  # noqa: S608 - names of ours
        "ORDER BY bucket_ms, device, epoch"
    )
    op.drop_table(f"{name}_old")


def _make(name: str, *columns: Any, partitioned: str = "") -> None:
    options: dict[str, Any] = {"sqlite_with_rowid": False}
    if partitioned:
        options["postgresql_partition_by"] = f"RANGE ({partitioned})"
    op.create_table(name, *columns, **options)
    if partitioned and op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE TABLE {name}_rest PARTITION OF {name} DEFAULT")


def _time(name: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger(), primary_key=True, autoincrement=False)]


def _life() -> list[sa.Column[Any]]:
    return [
        sa.Column("device", sa.String(63), primary_key=True),
        sa.Column("epoch", sa.String(64), primary_key=True),
    ]


def _whole(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _spans(*counters: str) -> list[sa.Column[Any]]:
    ends = [f"{counter}_{end}" for counter in counters for end in ("least", "greatest")]
    return _whole("first_ms", "last_ms", *ends)

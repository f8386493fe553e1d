"""Marks of what is reckoned from the hours: edge charges, comparison with fixed modes; imports of costs."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NEVER_MS = 2**62


def upgrade() -> None:
    """Make the tables, and mark all there is to be reckoned."""
    op.create_table("hour_version", _key("hour_ms"), *_whole("version"))
    terms = sa.Column("terms", sa.String(64), nullable=False)
    op.create_table("edge_hour", _key("hour_ms"), *_whole("version", "times"), terms)
    _make(
        "edge_site_hour",
        _key("hour_ms"),
        _site(),
        sa.Column("currency", sa.String(3), nullable=False),
        *_whole("energy_mj", "cost_e12"),
    )
    op.create_table("edge_month", _key("month_ms"), _site(), *_whole("times"))
    _make(
        "compared_day",
        _key("day_ms"),
        sa.Column("name", sa.String(80), primary_key=True),
        *_whole("lives", "energy_mj", "violating_ms", "lived_ms"),
    )
    _make(
        "compared_life",
        sa.Column("device", sa.String(63), primary_key=True),
        sa.Column("epoch", sa.String(64), primary_key=True),
        _key("day_ms"),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("knot", sa.Text(), nullable=False),
    )
    op.create_table(
        "cost_import",
        sa.Column("source", sa.String(20), primary_key=True),
        *_whole("tried_ms", "succeeded_ms", "failures", "charges"),
        sa.Column("error", sa.Text(), nullable=False),
    )
    never = sa.text(str(NEVER_MS))
    op.add_column(
        "device_life", sa.Column("compare_ms", sa.BigInteger(), nullable=False, server_default=never)
    )
    op.create_index("ix_device_life_compare_ms", "device_life", ["compare_ms"])
    op.execute("UPDATE device_life SET compare_ms = COALESCE((SELECT min(bucket_ms) FROM device_bucket), 0)")
    op.execute("INSERT INTO hour_version (hour_ms, version) SELECT DISTINCT hour_ms, 1 FROM hour_use")


def downgrade() -> None:
    """Take them away again; the charges themselves stay."""
    op.drop_index("ix_device_life_compare_ms", "device_life")
    op.drop_column("device_life", "compare_ms")
    for table in (
        "cost_import",
        "compared_life",
        "compared_day",
        "edge_month",
        "edge_site_hour",
        "edge_hour",
        "hour_version",
    ):
        op.drop_table(table)


def _make(name: str, *columns: Any) -> None:
    op.create_table(name, *columns, sqlite_with_rowid=False)


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), primary_key=True, autoincrement=False)


def _site() -> sa.Column[Any]:
    return sa.Column("site", sa.String(200), primary_key=True)


def _whole(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]

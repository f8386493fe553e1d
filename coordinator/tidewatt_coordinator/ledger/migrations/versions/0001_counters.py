"""Counters by device, epoch and bucket; time by mode; facts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    counters = [
        f"{counter}_{end}"
        for counter in ("energy_mj", "requests", "violating_ms", "unmeasured_ms", "switches")
        for end in ("least", "greatest")
    ]
    op.create_table(
        "device_bucket",
        *_key(),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in counters),
    )
    op.create_table(
        "mode_bucket",
        *_key(),
        sa.Column("mode", sa.String(63), primary_key=True),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("mode_ms_least", sa.BigInteger(), nullable=False),
        sa.Column("mode_ms_greatest", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "ledger_fact",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Take the tables away again."""
    for table in ("ledger_fact", "mode_bucket", "device_bucket"):
        op.drop_table(table)


def _key() -> list[sa.Column[Any]]:
    return [
        sa.Column("device", sa.String(63), primary_key=True),
        sa.Column("epoch", sa.String(64), primary_key=True),
        sa.Column("bucket_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
    ]

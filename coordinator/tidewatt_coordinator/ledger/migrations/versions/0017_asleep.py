"""Time and energy asleep: of each life that sleeps, and by the day."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

COUNTED = ("asleep_mj", "asleep_ms")


def upgrade() -> None:
    """Make the tables. What was counted before is in the next report of each life."""
    op.create_table("asleep_life", *_life(), *_greatest(), sqlite_with_rowid=False)
    op.create_table(
        "asleep_day",
        *_life(),
        sa.Column("day_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        *_greatest(),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_asleep_day_day_ms", "asleep_day", ["day_ms"])


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("ix_asleep_day_day_ms", "asleep_day")
    op.drop_table("asleep_day")
    op.drop_table("asleep_life")


def _life() -> list[sa.Column[str]]:
    return [
        sa.Column("device", sa.String(63), primary_key=True),
        sa.Column("epoch", sa.String(64), primary_key=True),
    ]


def _greatest() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTED]

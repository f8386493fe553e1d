"""Orders on the routing weights, and the last dispatch table with all that it was made of."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "dispatch_order",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("fleet", sa.String(63), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=False),
        sa.Column("in_force_ms", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
    )
    op.create_index("ix_dispatch_order_until", "dispatch_order", ["fleet", "until_ms"])
    op.create_table(
        "dispatch_state",
        sa.Column("fleet", sa.String(63), primary_key=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("dispatch_state")
    op.drop_index("ix_dispatch_order_until", "dispatch_order")
    op.drop_table("dispatch_order")

"""Charges from clouds and from the edge, and calls that cost money."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WORDS = ("provider", "service", "category", "region", "account", "resource", "description", "tags", "unit")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "charge",
        sa.Column("source", sa.String(20), primary_key=True),
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column("batch", sa.String(300), nullable=False),
        sa.Column("taken_ms", sa.BigInteger(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in WORDS),
        sa.Column("quantity", sa.Text()),
        sa.Column("billed", sa.Text(), nullable=False),
        sa.Column("effective", sa.Text(), nullable=False),
        sa.Column("marginal", sa.Text()),
        sa.Column("list_cost", sa.Text()),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
    )
    op.create_index("ix_charge_start_ms", "charge", ["start_ms"])
    op.create_index("ix_charge_batch", "charge", ["source", "batch"])
    op.create_table(
        "cost_call",
        sa.Column("source", sa.String(20), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("calls", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Take both away again."""
    op.drop_table("cost_call")
    op.drop_index("ix_charge_batch", "charge")
    op.drop_index("ix_charge_start_ms", "charge")
    op.drop_table("charge")

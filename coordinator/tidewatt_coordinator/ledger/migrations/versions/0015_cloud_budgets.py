"""Budgets that a cloud told of, by month."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One row for each budget and month, as it was told last."""
    op.create_table(
        "cloud_budget",
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("account", sa.String(20), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("told", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """The cloud can be asked for the present month again."""
    op.drop_table("cloud_budget")

"""The last plan of the fleet."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "plan_state",
        sa.Column("fleet", sa.String(63), primary_key=True),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("plan_state")

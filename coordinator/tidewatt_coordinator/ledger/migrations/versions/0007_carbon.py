"""Carbon intensities that were asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "carbon_intensity",
        sa.Column("zone", sa.String(63), primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("source", sa.String(20), primary_key=True),
        sa.Column("start_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("grams_per_kwh", sa.String(40), nullable=False),
        sa.Column("estimated", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("carbon_intensity")

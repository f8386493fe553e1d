"""What each device said last, by which coordinators that share the reports show all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; half of each page stays free, so that a row's next version lies beside it."""
    op.create_table(
        "device_now",
        sa.Column("fleet", sa.String(63), primary_key=True),
        sa.Column("device", sa.String(63), primary_key=True),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("heard_ms", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.Column("teller", sa.String(63), nullable=False),
        sa.Column("written_ms", sa.BigInteger(), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE device_now SET (fillfactor = 50)")


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("device_now")

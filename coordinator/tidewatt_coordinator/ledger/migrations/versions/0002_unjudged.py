"""Time in which the promise could not be judged."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = ("unjudged_ms_least", "unjudged_ms_greatest")


def upgrade() -> None:
    """Add the counter; what was kept before it existed had counted none."""
    for name in COLUMNS:
        op.add_column(
            "device_bucket", sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))
        )


def downgrade() -> None:
    """Take it away again."""
    with op.batch_alter_table("device_bucket") as table:
        for name in COLUMNS:
            table.drop_column(name)

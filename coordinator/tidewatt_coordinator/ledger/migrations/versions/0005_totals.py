"""What every life has counted, kept beside its buckets; and the buckets findable by their time.

Without them a total and a look at the last hour read the whole history.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COUNTERS = ("energy_mj", "requests", "violating_ms", "unmeasured_ms", "switches", "unjudged_ms")


def upgrade() -> None:
    """Make the table, fill it from the buckets, and make the index."""
    op.create_table(
        "life_total",
        sa.Column("device", sa.String(63), primary_key=True),
        sa.Column("epoch", sa.String(64), primary_key=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTERS),
    )
    greatest = ", ".join(f"max({name}_greatest)" for name in COUNTERS)
    op.execute(
        f"insert into life_total (device, epoch, {', '.join(COUNTERS)}) "  # noqa: S608 - names of our own
        f"select device, epoch, {greatest} from device_bucket group by device, epoch"
    )
    op.create_index("ix_device_bucket_bucket_ms", "device_bucket", ["bucket_ms"])


def downgrade() -> None:
    """Take both away again."""
    op.drop_index("ix_device_bucket_bucket_ms", "device_bucket")
    op.drop_table("life_total")

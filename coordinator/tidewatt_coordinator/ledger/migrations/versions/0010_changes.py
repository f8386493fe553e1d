"""Changes that were to save money, with their predictions; the edge's charges by day."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "change",
        sa.Column("id", sa.String(120), primary_key=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("begun_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("undone_ms", sa.BigInteger(), nullable=True),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("predicted_per_month", sa.Text(), nullable=True),
        sa.Column("predicted_share", sa.Text(), nullable=True),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
    )
    texts = (
        "provider",
        "service",
        "category",
        "region",
        "account",
        "resource",
        "description",
        "tags",
        "unit",
    )
    sums = [f"{name}_{part}" for name in ("billed", "effective", "quantity") for part in range(3)]
    op.create_table(
        "edge_day",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("day_ms", sa.BigInteger(), nullable=False, index=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in texts),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("marginal", sa.Text(), nullable=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("counted", *sums)),
    )
    op.create_table(
        "edge_day_mark",
        sa.Column("day_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("summed", sa.BigInteger(), nullable=False),
    )
    cloud = sa.text("source <> 'edge'")
    op.create_index(
        "ix_charge_cloud", "charge", ["source", "start_ms"], sqlite_where=cloud, postgresql_where=cloud
    )
    over_days = sa.text("start_ms / 86400000 <> (end_ms - 1) / 86400000")
    op.create_index(
        "ix_charge_over_days", "charge", ["start_ms"], sqlite_where=over_days, postgresql_where=over_days
    )
    op.execute(
        "INSERT INTO edge_day_mark (day_ms, version, summed) "
        "SELECT DISTINCT start_ms / 86400000 * 86400000, 1, 0 FROM charge WHERE source = 'edge'"
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_index("ix_charge_over_days", "charge")
    op.drop_index("ix_charge_cloud", "charge")
    op.drop_table("edge_day_mark")
    op.drop_table("edge_day")
    op.drop_table("change")

"""The edge's charges by day instead of by hour; their sums by site."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TEXTS = ("provider", "service", "category", "region", "account", "description", "tags", "unit")
MONEY = ("billed", "effective", "quantity")


def upgrade() -> None:
    """Every day is due again: hours are kept for ever, and a day's charges replace those of its hours."""
    op.drop_table("edge_hour")
    op.create_table(
        "edge_settled",
        sa.Column("day_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        *_whole("from_ms", "until_ms", "versions", "times"),
        sa.Column("terms", sa.String(64), nullable=False),
    )
    op.execute("DELETE FROM edge_month")
    op.execute(
        "UPDATE charge SET batch = 'day/' || CAST(start_ms / 86400000 * 86400000 AS TEXT) "
        "WHERE source = 'edge' AND batch LIKE 'hour/%'"
    )
    _sums(TEXTS, "counted", "priced", *_parts(*MONEY, "marginal"))


def downgrade() -> None:
    """Back to hours: all of them are due again, and nothing of the days stays."""
    op.drop_table("edge_settled")
    op.create_table(
        "edge_hour",
        sa.Column("hour_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        *_whole("version", "times"),
        sa.Column("terms", sa.String(64), nullable=False),
    )
    op.execute("DELETE FROM edge_month")
    op.execute("DELETE FROM charge WHERE source = 'edge' AND batch LIKE 'day/%'")
    _sums((*TEXTS, "resource"), "counted", *_parts(*MONEY), more=[sa.Column("marginal", sa.Text())])


def _sums(texts: tuple[str, ...], *whole: str, more: list[sa.Column[str]] | None = None) -> None:
    """Make the table of sums anew, and have every day summed."""
    op.drop_table("edge_day")
    op.create_table(
        "edge_day",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("day_ms", sa.BigInteger(), nullable=False, index=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in texts),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        *(more or []),
        *_whole(*whole),
    )
    op.execute("DELETE FROM edge_day_mark")
    op.execute(
        "INSERT INTO edge_day_mark (day_ms, version, summed) "
        "SELECT DISTINCT start_ms / 86400000 * 86400000, 1, 0 FROM charge WHERE source = 'edge'"
    )


def _parts(*names: str) -> list[str]:
    return [f"{name}_{part}" for name in names for part in range(3)]


def _whole(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]

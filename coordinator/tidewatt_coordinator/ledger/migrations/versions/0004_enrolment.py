"""Tokens of enrolment, and the certificates that were given out."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "enroll_token",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("device", sa.String(63)),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger()),
        sa.Column("used_by", sa.String(63)),
    )
    op.create_table(
        "issued_certificate",
        sa.Column("serial", sa.String(40), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(15), nullable=False),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.Column("not_after_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger()),
    )
    op.create_index("ix_issued_certificate_name", "issued_certificate", ["name"])


def downgrade() -> None:
    """Take both away again."""
    op.drop_index("ix_issued_certificate_name", "issued_certificate")
    for table in ("issued_certificate", "enroll_token"):
        op.drop_table(table)

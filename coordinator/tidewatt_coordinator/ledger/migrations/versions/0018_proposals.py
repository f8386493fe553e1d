"""Proposals with their journal, the global stop, and the answers to requests with an idempotency key."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "proposal",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("fleet", sa.String(63), nullable=False),
        sa.Column("same", sa.String(64), nullable=False),
        sa.Column("driver", sa.String(63), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("begun_ms", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
    )
    op.create_index("ix_proposal_stage", "proposal", ["fleet", "stage"])
    op.create_index("ix_proposal_same", "proposal", ["fleet", "same", "made_ms"])
    op.create_index("ix_proposal_service", "proposal", ["fleet", "service", "made_ms"])
    op.create_table(
        "proposal_event",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("version", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fencing", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "lever_freeze",
        sa.Column("fleet", sa.String(63), primary_key=True),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_table(
        "answered",
        sa.Column("fleet", sa.String(63), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("asked", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("answered")
    op.drop_table("lever_freeze")
    op.drop_table("proposal_event")
    for name in ("service", "same", "stage"):
        op.drop_index(f"ix_proposal_{name}", "proposal")
    op.drop_table("proposal")

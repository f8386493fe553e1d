"""Keys of callers, their sessions on the page, and logins that were begun at a provider."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "access_key",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("fleet", sa.String(63), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(15), nullable=False),
        sa.Column("sites", sa.Text(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
    )
    op.create_table(
        "access_session",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("fleet", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(15), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(15), nullable=False),
        sa.Column("sites", sa.Text(), nullable=False),
        sa.Column("begun_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_access_session_ends", "access_session", ["ends_ms"])
    op.create_table(
        "access_login",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("browser", sa.String(64), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("verifier", sa.String(128), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("access_login")
    op.drop_index("ix_access_session_ends", "access_session")
    op.drop_table("access_session")
    op.drop_table("access_key")

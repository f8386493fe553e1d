"""The audit's chain, its head, and triggers that keep entries as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TEXTS = (
    "actor", "kind", "role", "by", "what", "subject", "before", "after", "why", "request", "previous",
    "sha256",
)  # fmt: skip
SAID = "the audit is only ever added to"
OF_SQLITE = """CREATE TRIGGER audit_entry_{0} BEFORE {0} ON audit_entry
BEGIN SELECT RAISE(ABORT, '{1}'); END"""
OF_POSTGRESQL = (
    f"""CREATE FUNCTION audit_entry_stays() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION '{SAID}'; END $$""",
    """CREATE TRIGGER audit_entry_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_stays()""",
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "audit_entry",
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("fleet", sa.String(63), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in TEXTS),
    )
    op.create_index("ix_audit_entry_subject", "audit_entry", ["subject", "sequence"])
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "sequence": 0, "sha256": "0" * 64}])
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(OF_SQLITE.format(action, SAID))
    else:
        for statement in OF_POSTGRESQL:
            op.execute(statement)


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("audit_head")
    op.drop_index("ix_audit_entry_subject", "audit_entry")
    op.drop_table("audit_entry")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_entry_stays()")

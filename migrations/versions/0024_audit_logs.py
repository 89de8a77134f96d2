"""Audit logs: who changed what, from where; rows that nothing can change or delete"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

REFUSED = "audit_logs is append-only"
POSTGRESQL = (
    f"""CREATE FUNCTION keep_audit_logs() RETURNS trigger AS $$
    BEGIN RAISE EXCEPTION '{REFUSED}'; END $$ LANGUAGE plpgsql""",
    """CREATE TRIGGER audit_logs_kept BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION keep_audit_logs()""",
    """CREATE TRIGGER audit_logs_whole BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_logs()""",
)
SQLITE = tuple(
    f"CREATE TRIGGER audit_logs_kept_on_{change.lower()} BEFORE {change} ON audit_logs "
    f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
    for change in ("UPDATE", "DELETE")
)


def upgrade() -> None:
    op.create_table(
        "audit_logs",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("effective_at", sa.Double(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=True),
        sa.Column("actor_type", sa.String(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("actor_name", sa.String(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=True),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("ip_address", sa.String(), nullable=True),
        sa.Column("user_agent", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
    )
    op.create_index("audit_logs_by_time", "audit_logs", ["effective_at", "id"])
    op.create_index("ix_audit_logs_project_id", "audit_logs", ["project_id"])
    for statement in POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("audit_logs")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION keep_audit_logs()")

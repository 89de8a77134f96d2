"""Workers announce themselves; a job says why it waits and how far its step is"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.Column("base_models", sa.JSON(), nullable=False),
        sa.Column("sandbox", sa.String(), nullable=True),
        sa.Column("stopping", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_workers_seen_at"), "workers", ["seen_at"], unique=False)
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("wait_reason", sa.String(), nullable=True))
        jobs.add_column(sa.Column("progress", sa.JSON(), nullable=True))

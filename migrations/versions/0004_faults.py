"""Faults: deaths without progress, failed jobs that go on, objects that must be deleted, bytes in storage"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"))
        jobs.add_column(sa.Column("kept_by", sa.String(), nullable=True))
        jobs.add_column(sa.Column("resumed_at", sa.Double(), nullable=True))
        jobs.add_column(sa.Column("stored_bytes", sa.BigInteger(), nullable=True))
    op.create_table(
        "deletions",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("begun", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )

"""Placement: what a job asks of a slot, its priority, what a worker offers, and how long each attempt held a slot"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("priority", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("resources", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("preempted_for", sa.String(), nullable=True))
    op.add_column("workers", sa.Column("gpus", sa.JSON(), nullable=True))
    op.add_column("workers", sa.Column("labels", sa.JSON(), nullable=True))
    op.create_table(
        "runs",
        sa.Column("job_id", sa.String(), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("fence", sa.Integer(), primary_key=True),
        sa.Column("project_id", sa.String(), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
    )
    op.create_index("ix_runs_ended_at", "runs", ["ended_at"])
    op.create_index("runs_by_project", "runs", ["project_id", "ended_at"])


def downgrade() -> None:
    op.drop_table("runs")
    op.drop_column("workers", "labels")
    op.drop_column("workers", "gpus")
    op.drop_column("jobs", "preempted_for")
    op.drop_column("jobs", "resources")
    op.drop_column("jobs", "priority")

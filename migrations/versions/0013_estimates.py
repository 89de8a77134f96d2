"""Estimates: what a job was foreseen to take and what it took, and the memory of a worker's slots"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("estimate", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("measured", sa.JSON(), nullable=True))
    op.add_column("workers", sa.Column("memory", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "memory")
    op.drop_column("jobs", "measured")
    op.drop_column("jobs", "estimate")

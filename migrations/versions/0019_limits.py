"""Limits: how long the runs of a job may take together"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("limits", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "limits")

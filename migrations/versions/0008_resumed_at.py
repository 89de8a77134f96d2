"""Nobody reads when a job was resumed: its event says so"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("jobs", "resumed_at")  # not in a batch: SQLite would make a new table, and other tables refer to it


def downgrade() -> None:
    op.add_column("jobs", sa.Column("resumed_at", sa.Double(), nullable=True))

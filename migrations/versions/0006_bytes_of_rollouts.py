"""Rollouts count to a project's bytes"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("rollout_chunks") as chunks:
        chunks.add_column(sa.Column("bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("rollout_chunks") as chunks:
        chunks.drop_column("bytes")

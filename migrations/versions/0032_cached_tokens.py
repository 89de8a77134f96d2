"""Tokens that batches and runs of evals found read already; whether a worker's CPU trains in bf16"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

COUNTED = ("batches", "eval_runs")


def upgrade() -> None:
    for table in COUNTED:
        op.add_column(table, sa.Column("cached_tokens", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("workers", sa.Column("cpu_bf16", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "cpu_bf16")
    for table in COUNTED:
        op.drop_column(table, "cached_tokens")

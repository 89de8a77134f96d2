"""Comparison items are found by their prompt and responses"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("comparison_items") as items:
        items.add_column(sa.Column("digest", sa.String(), nullable=True))
    op.create_index("comparison_items_by_digest", "comparison_items", ["comparison_id", "digest"])

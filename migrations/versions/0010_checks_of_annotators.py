"""Comparisons: hidden checks, repeated items, imported votes, items that are generated anew"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("comparisons") as comparisons:
        comparisons.add_column(sa.Column("check_every", sa.Integer(), nullable=False, server_default="10"))
        comparisons.add_column(sa.Column("repeats", sa.Boolean(), nullable=False, server_default=sa.false()))
        comparisons.add_column(sa.Column("job_id", sa.String(), nullable=True))
        comparisons.add_column(sa.Column("imported_bytes", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("comparison_items") as items:
        items.add_column(sa.Column("source", sa.String(), nullable=False, server_default="generated"))
        items.add_column(sa.Column("gold", sa.JSON(), nullable=True))
        items.add_column(sa.Column("round", sa.Integer(), nullable=False, server_default="0"))
    op.drop_index("comparison_votes_by_annotator", "comparison_votes")
    with op.batch_alter_table("comparison_votes") as votes:
        votes.add_column(sa.Column("repeat", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "comparison_votes_by_annotator", "comparison_votes", ["annotator_id", "item_id", "repeat"], unique=True
    )

"""Comparisons: items with several responses, annotators, votes, exports"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "comparisons",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("servables", sa.JSON(), nullable=False),
        sa.Column("sampling", sa.JSON(), nullable=False),
        sa.Column("instructions", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("overlap", sa.String(), nullable=False),
        sa.Column("votes_per_item", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("wait_reason", sa.String(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_comparisons_project_id", "comparisons", ["project_id"])
    op.create_index("comparisons_by_status", "comparisons", ["status", "created_at"])
    op.create_table(
        "comparison_items",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("comparison_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.JSON(), nullable=False),
        sa.Column("responses", sa.JSON(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparisons.id"]),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_comparison_items_project_id", "comparison_items", ["project_id"])
    op.create_index("comparison_items_by_number", "comparison_items", ["comparison_id", "number"], unique=True)
    op.create_table(
        "comparison_annotators",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("comparison_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("digest", sa.String(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparisons.id"]),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_comparison_annotators_comparison_id", "comparison_annotators", ["comparison_id"])
    op.create_index("ix_comparison_annotators_project_id", "comparison_annotators", ["project_id"])
    op.create_index("ix_comparison_annotators_digest", "comparison_annotators", ["digest"], unique=True)
    op.create_index("comparison_annotators_by_key", "comparison_annotators", ["comparison_id", "key_id"], unique=True)
    op.create_table(
        "comparison_votes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("comparison_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("annotator_id", sa.String(), nullable=False),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("choice", sa.String(), nullable=True),
        sa.Column("order", sa.JSON(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("voted_at", sa.Double(), nullable=True),
        sa.Column("exported_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparisons.id"]),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
        sa.ForeignKeyConstraint(["item_id"], ["comparison_items.id"]),
        sa.ForeignKeyConstraint(["annotator_id"], ["comparison_annotators.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_comparison_votes_comparison_id", "comparison_votes", ["comparison_id"])
    op.create_index("ix_comparison_votes_project_id", "comparison_votes", ["project_id"])
    op.create_index("comparison_votes_by_item", "comparison_votes", ["item_id"])
    op.create_index("comparison_votes_by_annotator", "comparison_votes", ["annotator_id", "item_id"], unique=True)
    op.create_table(
        "comparison_exports",
        sa.Column("file_id", sa.String(), nullable=False),
        sa.Column("comparison_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparisons.id"]),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
        sa.PrimaryKeyConstraint("file_id"),
    )
    op.create_index("ix_comparison_exports_comparison_id", "comparison_exports", ["comparison_id"])
    op.create_index("ix_comparison_exports_project_id", "comparison_exports", ["project_id"])

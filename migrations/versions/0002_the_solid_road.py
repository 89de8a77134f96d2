"""The solid road: paused jobs, integrations and evaluations, keys with scopes and expiry, quotas"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("integrations", sa.JSON(), nullable=True))
        jobs.add_column(sa.Column("evaluation", sa.JSON(), nullable=True))
        jobs.add_column(sa.Column("pause_requested_at", sa.Double(), nullable=True))
    with op.batch_alter_table("projects") as projects:
        projects.add_column(sa.Column("quotas", sa.JSON(), nullable=True))
    with op.batch_alter_table("api_keys") as api_keys:
        api_keys.add_column(sa.Column("scopes", sa.JSON(), nullable=True))
        api_keys.add_column(sa.Column("expires_at", sa.Double(), nullable=True))
    op.execute("UPDATE api_keys SET scopes = '[\"all\"]'")  # keys could do everything until now
    with op.batch_alter_table("api_keys") as api_keys:
        api_keys.alter_column("scopes", existing_type=sa.JSON(), nullable=False)

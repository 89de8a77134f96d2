"""Tuned models that no job here has made"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tuned_models") as models:
        models.alter_column("job_id", existing_type=sa.String(), nullable=True)
        models.add_column(sa.Column("lora", sa.JSON(), nullable=True))
        models.add_column(sa.Column("bytes", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.execute("DELETE FROM tuned_models WHERE job_id IS NULL")
    with op.batch_alter_table("tuned_models") as models:
        models.drop_column("bytes")
        models.drop_column("lora")
        models.alter_column("job_id", existing_type=sa.String(), nullable=False)

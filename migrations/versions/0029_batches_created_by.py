"""The API key that created a batch, which its files name as well"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("created_by", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("batches", "created_by")

"""Who an API key belongs to"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("owner", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("api_keys", "owner")

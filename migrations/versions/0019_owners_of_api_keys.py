"""Who an API key belongs to"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("owner", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("api_keys", "owner")

"""Sessions of people whom a trusted proxy names"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("console_sessions", sa.Column("person", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("console_sessions", "person")

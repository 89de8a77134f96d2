from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class ComparisonAnnotator(Base, Created):
    """A person who votes in one comparison, by an invitation link or an API key, or whose votes were imported."""

    __tablename__ = "comparison_annotators"
    __table_args__ = (Index("comparison_annotators_by_key", "comparison_id", "key_id", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"), index=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str]
    key_id: Mapped[str | None]  # whoever votes by an API key
    digest: Mapped[str | None] = mapped_column(index=True, unique=True)  # HMAC of an invitation's token
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class StoredResponse(Base, Created):
    """What POST /v1/responses answered, and the items that it was asked with: its own, not those of earlier answers."""

    __tablename__ = "stored_responses"
    __table_args__ = (
        Index("stored_responses_by_project", "project_id", "created_at"),
        Index("ix_stored_responses_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    previous_id: Mapped[str | None]  # the response that it continues; may have been deleted
    bytes: Mapped[int] = mapped_column(BigInteger)  # of input and body as JSON
    input: Mapped[list[dict[str, Any]]]
    body: Mapped[dict[str, Any]]

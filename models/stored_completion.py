from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class StoredCompletion(Base, Created):
    """What POST /v1/chat/completions answered with `store`, and the messages and tools that it was asked with."""

    __tablename__ = "stored_completions"
    __table_args__ = (
        Index("stored_completions_by_project", "project_id", "created_at"),
        Index("ix_stored_completions_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    model: Mapped[str]
    labels: Mapped[dict[str, Any] | None]  # the client's metadata
    bytes: Mapped[int] = mapped_column(BigInteger)  # of asked and body as JSON
    asked: Mapped[dict[str, Any]]  # messages, tools
    body: Mapped[dict[str, Any]]

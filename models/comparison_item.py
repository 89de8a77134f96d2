from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class ComparisonItem(Base):
    """One prompt and its responses; null until they are generated."""

    __tablename__ = "comparison_items"
    __table_args__ = (
        Index("comparison_items_by_number", "comparison_id", "number", unique=True),
        Index("comparison_items_by_digest", "comparison_id", "digest"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    number: Mapped[int]  # from 1, in the order of the prompts
    prompt: Mapped[list[dict[str, Any]]]  # messages
    responses: Mapped[list[dict[str, Any]] | None]  # {"id", "model", "text", "finish_reason", "names_model"}
    error: Mapped[dict[str, Any] | None]  # why it cannot be voted on
    ready: Mapped[bool] = mapped_column(default=False)  # may be voted on
    source: Mapped[str] = mapped_column(default="generated", server_default="generated")  # generated | gold | imported
    gold: Mapped[dict[str, Any] | None]  # {"levels"}: the order that is right; a check of annotators, never exported
    digest: Mapped[str | None]  # of the prompt and the responses: imported votes on the same ones find the item
    round: Mapped[int] = mapped_column(default=0, server_default="0")  # how often it was generated anew

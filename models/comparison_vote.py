from typing import Any

from sqlalchemy import ForeignKey, Index, false
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class ComparisonVote(Base, Created):
    """An item in the hands of an annotator: leased while `choice` is null, and then their vote."""

    __tablename__ = "comparison_votes"
    __table_args__ = (
        Index("comparison_votes_by_annotator", "annotator_id", "item_id", "repeat", unique=True),
        Index("comparison_votes_by_item", "item_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"), index=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    item_id: Mapped[str] = mapped_column(ForeignKey("comparison_items.id"))
    annotator_id: Mapped[str] = mapped_column(ForeignKey("comparison_annotators.id"))
    # the second vote on the item, which measures the annotator against themselves and counts nowhere else
    repeat: Mapped[bool] = mapped_column(default=False, server_default=false())
    shown: Mapped[list[str]]  # ids of the responses, in the order on the screen
    lease_until: Mapped[float | None]  # database clock; null once voted
    choice: Mapped[str | None]  # ranking | pick | tie | both_bad | skip
    order: Mapped[dict[str, Any] | None]  # {"levels": ids of the responses, best first, ties together}
    note: Mapped[str | None]
    seconds: Mapped[float | None]  # that the annotator took
    voted_at: Mapped[float | None]
    exported_at: Mapped[float | None]  # then it can no longer change

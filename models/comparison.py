from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class ComparisonStatus(StrEnum):
    GENERATING = "generating"
    READY = "ready"
    FAILED = "failed"


class Comparison(Base, Created):
    """Prompts with several responses each, which people rank or pick from."""

    __tablename__ = "comparisons"
    __table_args__ = (Index("comparisons_by_status", "status", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str]
    mode: Mapped[str]  # rank | pick
    models: Mapped[list[str]]  # as the request named them
    servables: Mapped[list[dict[str, Any]]]  # the same models as the engine knows them
    sampling: Mapped[dict[str, Any]]
    instructions: Mapped[str]  # Markdown
    n: Mapped[int]  # responses to each prompt
    overlap: Mapped[str]  # full | none | controlled
    votes_per_item: Mapped[int]
    seed: Mapped[int]  # of generation, and of the order in which an annotator sees the responses
    status: Mapped[ComparisonStatus] = mapped_column(default=ComparisonStatus.GENERATING)
    wait_reason: Mapped[str | None]  # why generation does not go on
    error: Mapped[dict[str, Any] | None]
    owner: Mapped[str | None]  # the worker that generates
    lease_until: Mapped[float | None]  # database clock

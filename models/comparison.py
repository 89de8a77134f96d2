from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, false
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
    check_every: Mapped[int] = mapped_column(default=10, server_default="10")  # one item in so many is a hidden check
    # whether an annotator gets items again, as checks
    repeats: Mapped[bool] = mapped_column(default=False, server_default=false())
    job_id: Mapped[str | None]  # whose models it compares, where a request to the job made it
    # of rankings made elsewhere: what a comparison may hold of them is limited
    imported_bytes: Mapped[int] = mapped_column(default=0, server_default="0")
    seed: Mapped[int]  # of generation, and of the order in which an annotator sees the responses
    status: Mapped[ComparisonStatus] = mapped_column(default=ComparisonStatus.GENERATING)
    wait_reason: Mapped[str | None]  # why generation does not go on
    error: Mapped[dict[str, Any] | None]
    owner: Mapped[str | None]  # the worker that generates
    lease_until: Mapped[float | None]  # database clock

from typing import Any

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class Proof(Base, Created):
    """What a published adapter stands on: checks of its training, of its copy in storage, and of what is served."""

    __tablename__ = "proofs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)  # chat | reward_model: a job of two phases has one of each
    model: Mapped[str]
    prefix: Mapped[str]  # of the adapter in storage
    checks: Mapped[list[dict[str, Any]]]
    # Rows of the training file as tokens, and what training made of them, until an engine was compared with them
    probe: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

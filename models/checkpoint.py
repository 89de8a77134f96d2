from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class Checkpoint(Base, Created):
    """A saved step of a job: served like a tuned model, and what a killed run resumes from."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "step"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(unique=True)  # ft:…:ckpt-step-N
    step: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    prefix: Mapped[str]  # storage prefix of adapter, optimizer, RNG and manifest

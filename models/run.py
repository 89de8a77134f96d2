from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Run(Base):
    """One attempt at a job, from its claim until it left its slot. Times are of the database's clock."""

    __tablename__ = "runs"
    __table_args__ = (Index("runs_by_project", "project_id", "ended_at"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    fence: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    owner: Mapped[str]  # the worker's slot
    gpus: Mapped[int]  # 0 on a CPU
    started_at: Mapped[float]
    ended_at: Mapped[float | None] = mapped_column(index=True)  # null: it holds the slot

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class RolloutChunk(Base, Created):
    """One step's rollouts: where their Parquet file lies, and what a list needs without reading it."""

    __tablename__ = "rollout_chunks"
    __table_args__ = (UniqueConstraint("job_id", "step"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    step: Mapped[int]
    rows: Mapped[int]
    summary: Mapped[dict[str, Any]]  # reward mean, minimum and maximum, tokens
    storage_key: Mapped[str]
    bytes: Mapped[int | None] = mapped_column(BigInteger)  # None: stored before they were counted

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only an INTEGER up by itself


class Event(Base, Created):
    """A line of a job's history: a message for people, or one step's metrics."""

    __tablename__ = "events"
    __table_args__ = (Index("events_of_job", "job_id", "seq"),)

    seq: Mapped[int] = mapped_column(SEQUENCE, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    level: Mapped[str]  # info | warn | error
    type: Mapped[str]  # message | metrics
    message: Mapped[str]
    data: Mapped[dict[str, Any] | None]

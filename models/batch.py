from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class BatchStatus(StrEnum):
    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self not in GOING


GOING = (BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS, BatchStatus.CANCELLING)


class Batch(Base, Created):
    """A file of requests that a worker sends to the engine, when nobody else needs it."""

    __tablename__ = "batches"
    __table_args__ = (Index("batches_by_status", "status", "served_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    endpoint: Mapped[str]
    input_file: Mapped[str] = mapped_column(index=True)
    completion_window: Mapped[str]
    output_expires_after: Mapped[int | None]  # seconds
    labels: Mapped[dict[str, Any] | None]  # the client's metadata
    status: Mapped[BatchStatus] = mapped_column(default=BatchStatus.VALIDATING)
    errors: Mapped[list[dict[str, Any]] | None]  # of the input file
    servables: Mapped[dict[str, Any] | None]  # the models as the requests name them → as the engine knows them
    total: Mapped[int] = mapped_column(default=0)
    completed: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    input_tokens: Mapped[int] = mapped_column(default=0)
    cached_tokens: Mapped[int] = mapped_column(default=0, server_default="0")  # of the input tokens
    output_tokens: Mapped[int] = mapped_column(default=0)
    expires_at: Mapped[float]
    moments: Mapped[dict[str, Any]] = mapped_column(default=dict)  # in_progress_at, cancelled_at, …
    output_file: Mapped[str | None]
    error_file: Mapped[str | None]
    wait_reason: Mapped[str | None]  # why it does not go on
    owner: Mapped[str | None]  # the worker that sends its requests
    lease_until: Mapped[float | None]  # database clock
    served_at: Mapped[float] = mapped_column(default=0.0)  # batches take turns
    created_by: Mapped[str | None]  # the API key


class BatchAnswer(Base):
    """What came of one request; there is no second one."""

    __tablename__ = "batch_answers"

    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # its line, from 1
    failed: Mapped[bool]
    line: Mapped[str] = mapped_column(Text)  # of the output or the error file

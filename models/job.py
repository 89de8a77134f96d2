from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended. Only a failed one can start again, and only at a user's request."""
        return self in ENDED


WORKER_LOST, DISK_FULL, STORAGE_REFUSED = "worker_lost", "disk_full", "storage_refused"
RESUMABLE = frozenset({WORKER_LOST, DISK_FULL, STORAGE_REFUSED})  # codes of failures that are not the job's own

ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})


class Job(Base, Created):
    """A fine-tuning job. Whoever holds the current `fence` may write to it while it is running, and nobody else."""

    __tablename__ = "jobs"
    __table_args__ = (Index("jobs_by_status", "status", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    base_model: Mapped[str]
    started_from: Mapped[str | None]  # a tuned model or a checkpoint on it, whose adapter goes on
    training_file: Mapped[str]
    validation_file: Mapped[str | None]
    method: Mapped[dict[str, Any]]  # {"type", "<type>": {"hyperparameters"}}, every `auto` resolved
    seed: Mapped[int]  # below 2³¹
    created_by: Mapped[str | None]  # the API key
    suffix: Mapped[str | None]
    labels: Mapped[dict[str, Any] | None]  # the request's `metadata`; SQLAlchemy keeps that name for itself
    integrations: Mapped[list[dict[str, Any]] | None]  # where a run is reported to, beside our own events
    request_digest: Mapped[str] = mapped_column(index=True)  # sha256 of the create body: a retry finds its job

    status: Mapped[JobStatus] = mapped_column(default=JobStatus.QUEUED)
    finished_at: Mapped[float | None]
    estimated_finish: Mapped[float | None]
    error: Mapped[dict[str, Any] | None]
    fine_tuned_model: Mapped[str | None]
    trained_tokens: Mapped[int | None] = mapped_column(BigInteger)
    result_files: Mapped[list[str]] = mapped_column(default=list)
    priority: Mapped[int] = mapped_column(default=1, server_default="1")  # 0 low, 1 normal, 2 high
    resources: Mapped[dict[str, Any] | None]  # what it asks of a slot: {"gpus", "gpu_memory_gib", "labels"}
    limits: Mapped[dict[str, Any] | None]  # of its runs together: {"hours", "gpu_hours"}
    evaluation: Mapped[dict[str, Any] | None]  # base against tuned on the validation file
    pause_requested_at: Mapped[float | None]  # honoured at the next boundary
    preempted_for: Mapped[str | None]  # the job that its slot is wanted for; honoured at the next boundary

    wait_reason: Mapped[str | None]  # why it waits in the queue, as its newest event about that says
    progress: Mapped[dict[str, Any] | None]  # inside the step that runs: phase, done, total, rate
    sandbox: Mapped[str | None]  # what held user code, where the job had any

    fence: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None]
    lease_until: Mapped[float | None]  # database clock
    attempts: Mapped[int] = mapped_column(default=0)
    # since the last checkpoint that went further than all before it
    deaths: Mapped[int] = mapped_column(default=0, server_default="0")

    estimate: Mapped[dict[str, Any] | None]  # steps, tokens and seconds, as foreseen when it was created
    measured: Mapped[dict[str, Any] | None]  # what it took, when it succeeded

    kept_by: Mapped[str | None]  # the worker host on whose disk the adapter lies that storage refused
    # in storage, when the run ended or at the newest collection
    stored_bytes: Mapped[int | None] = mapped_column(BigInteger)

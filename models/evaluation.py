from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class EvalRunStatus(StrEnum):
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_terminal(self) -> bool:
        return self not in UNFINISHED


UNFINISHED = (EvalRunStatus.QUEUED, EvalRunStatus.IN_PROGRESS)


class Eval(Base, Created):
    """A task for models, of OpenAI's Evals API: the shape of its rows, and what judges the answers."""

    __tablename__ = "evals"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str]
    labels: Mapped[dict[str, Any] | None]  # the client's metadata
    data_source_config: Mapped[dict[str, Any]]
    testing_criteria: Mapped[list[dict[str, Any]]]  # as they came, defaults filled in
    updated_at: Mapped[float]


class EvalRun(Base, Created):
    """One pass of a model over rows. A worker samples and grades, a few rows at a time."""

    __tablename__ = "eval_runs"
    __table_args__ = (Index("eval_runs_by_status", "status", "served_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    eval_id: Mapped[str] = mapped_column(ForeignKey("evals.id"), index=True)
    name: Mapped[str]
    labels: Mapped[dict[str, Any] | None]
    data_source: Mapped[dict[str, Any]]
    model: Mapped[str | None]  # None: the rows bring the answers along
    servables: Mapped[dict[str, Any]]  # models as the run names them → as the engine knows them
    status: Mapped[EvalRunStatus] = mapped_column(default=EvalRunStatus.QUEUED)
    error: Mapped[dict[str, Any] | None]
    total: Mapped[int] = mapped_column(default=0)
    passed: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    errored: Mapped[int] = mapped_column(default=0)
    by_criterion: Mapped[dict[str, Any]] = mapped_column(default=dict)  # name → [passed, failed]
    prompt_tokens: Mapped[int] = mapped_column(default=0)
    cached_tokens: Mapped[int] = mapped_column(default=0, server_default="0")  # of the prompts
    completion_tokens: Mapped[int] = mapped_column(default=0)
    wait_reason: Mapped[str | None]  # why it does not go on
    owner: Mapped[str | None]
    lease_until: Mapped[float | None]  # database clock
    served_at: Mapped[float] = mapped_column(default=0.0)  # runs take turns


class EvalItem(Base, Created):
    """What came of one row; there is no second one."""

    __tablename__ = "eval_items"

    run_id: Mapped[str] = mapped_column(ForeignKey("eval_runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # its row, from 0
    id: Mapped[str] = mapped_column(unique=True)
    status: Mapped[str]  # pass, fail or error
    item: Mapped[dict[str, Any]]
    sample: Mapped[dict[str, Any]]
    results: Mapped[list[dict[str, Any]]]

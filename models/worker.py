from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Worker(Base):
    """A worker process that is alive, or was: it renews `seen_at` with every heartbeat and goes when it stops."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)  # "<host>:<pid>:<start>"; a slot's owner is "<id>:<slot>"
    host: Mapped[str]
    version: Mapped[str]
    slots: Mapped[list[str]]  # what each slot runs on: "CPU", "GPU 0", "GPUs 0, 1"
    memory: Mapped[list[Any] | None] = mapped_column(JSON)  # bytes of each slot's device; null: not known
    gpus: Mapped[list[Any] | None] = mapped_column(JSON)  # how many each slot has; null: an older version
    cpu_bf16: Mapped[bool | None]  # whether its CPU may train in bf16; null: an older version
    labels: Mapped[list[Any] | None] = mapped_column(JSON)  # that jobs can ask for
    base_models: Mapped[list[str]]
    sandbox: Mapped[str | None]  # what confines user code; null: user code cannot run here, or is not proved yet
    stopping: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[float]  # database clock, as `seen_at`
    seen_at: Mapped[float] = mapped_column(index=True)

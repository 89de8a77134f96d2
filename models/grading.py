from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class Grading(Base, Created):
    """A request to grade, from /graders/run or a dry run: answered by a worker, for user code never runs in the API."""

    __tablename__ = "gradings"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    request: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    owner: Mapped[str | None]
    lease_until: Mapped[float | None]  # database clock
    finished_at: Mapped[float | None]

from typing import Any

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class TunedModel(Base, Created):
    """A published or uploaded adapter: `ft:<base>:<project>:<suffix>:<id>`."""

    __tablename__ = "tuned_models"

    name: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))  # None: it was uploaded
    created_by: Mapped[str | None]  # the API key that created the job, or uploaded it
    base_model: Mapped[str]
    kind: Mapped[str] = mapped_column(default="chat")  # chat | reward_model
    prefix: Mapped[str]  # storage prefix of the adapter and its manifest
    lora: Mapped[dict[str, Any] | None]  # of an uploaded adapter, for jobs that continue from it; None: none can
    bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")  # of an uploaded one

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class TunedModel(Base, Created):
    """A published adapter: `ft:<base>:<project>:<suffix>:<id>`."""

    __tablename__ = "tuned_models"

    name: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_by: Mapped[str | None]  # the API key that created the job
    base_model: Mapped[str]
    kind: Mapped[str] = mapped_column(default="chat")  # chat | reward_model
    prefix: Mapped[str]  # storage prefix of the adapter and its manifest

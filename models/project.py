from typing import Any

from sqlalchemy import false
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class Project(Base, Created):
    """A tenant: it owns keys, files, jobs and tuned models."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    stores_completions: Mapped[bool] = mapped_column(default=False, server_default=false())  # for `store` in chat
    quotas: Mapped[dict[str, Any] | None]  # what differs from the settings' defaults

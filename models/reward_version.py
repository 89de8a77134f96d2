from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class RewardVersion(Base, Created):
    """What judges a job's rollouts, from this version on; rewards may be edited while it runs."""

    __tablename__ = "reward_versions"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    graders: Mapped[list[dict[str, Any]]]

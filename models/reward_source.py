from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class RewardSource(Base, Created):
    """A version of a reward function that somebody wrote in a project. Jobs keep copies of what they began with."""

    __tablename__ = "reward_sources"
    __table_args__ = (UniqueConstraint("project_id", "name", "version"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str]
    version: Mapped[int]  # from 1
    source: Mapped[str]  # Python

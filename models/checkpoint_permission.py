from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class CheckpointPermission(Base, Created):
    """Lets another project ask a tuned model or a checkpoint."""

    __tablename__ = "checkpoint_permissions"
    __table_args__ = (UniqueConstraint("model", "project_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]  # its name
    owner_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))  # whose model it is
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)  # who may ask it

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Deletion(Base):
    """An object in storage that must go, whatever happens to the process that wanted it gone."""

    __tablename__ = "deletions"

    key: Mapped[str] = mapped_column(primary_key=True)  # with all below it
    due_at: Mapped[float]  # database clock
    begun: Mapped[bool]  # the object may be gone: no row may name it any more

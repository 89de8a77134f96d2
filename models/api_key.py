from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class ApiKey(Base, Created):
    """A key of one project; the secret itself is never stored, only its HMAC-SHA256."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str]
    owner: Mapped[str | None]  # the person or team that it belongs to, in words
    hint: Mapped[str]  # first characters, so that a person can tell keys apart
    digest: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]

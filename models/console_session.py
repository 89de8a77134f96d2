from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class ConsoleSession(Base, Created):
    """A browser that is signed in with an API key, or a sign-in link that waits to be opened."""

    __tablename__ = "console_sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), index=True)
    digest: Mapped[str] = mapped_column(unique=True)  # of the cookie's secret, or of the link's token
    person: Mapped[str | None]  # whom a trusted proxy named; the session is valid only for requests with that name
    opened: Mapped[bool]  # False: a link
    expires_at: Mapped[float]

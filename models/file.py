from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class FileStatus(StrEnum):
    PROCESSED = "processed"
    ERROR = "error"


class File(Base, Created):
    """An uploaded dataset, or a result file that a job left behind."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    created_by: Mapped[str | None]  # the API key; of a result file that of its job or batch
    purpose: Mapped[str]
    filename: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    storage_key: Mapped[str]
    status: Mapped[FileStatus]
    expires_at: Mapped[float | None] = mapped_column(index=True)  # then it is deleted
    report: Mapped[dict[str, Any] | None]  # what validation found: format, rows, errors

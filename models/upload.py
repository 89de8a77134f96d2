from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class UploadStatus(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class ChunkedUpload(Base, Created):
    """A file that comes in parts. A pending one whose time is over has expired."""

    __tablename__ = "uploads"
    __table_args__ = (Index("uploads_by_status", "project_id", "status"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    filename: Mapped[str]
    purpose: Mapped[str]
    mime_type: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)  # as it was announced; the parts must add up to it
    file_expires_after: Mapped[int | None]  # seconds
    status: Mapped[UploadStatus] = mapped_column(default=UploadStatus.PENDING)
    expires_at: Mapped[float]
    part_ids: Mapped[list[str] | None]  # in the order of its completion
    file_id: Mapped[str | None]


class UploadPart(Base, Created):
    """One piece; its object lies below the upload's folder in storage."""

    __tablename__ = "upload_parts"

    id: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)

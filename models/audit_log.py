from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AuditLog(Base):
    """A change that somebody made. Rows are only added: the database refuses to change or delete one."""

    __tablename__ = "audit_logs"
    __table_args__ = (Index("audit_logs_by_time", "effective_at", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    effective_at: Mapped[float]
    type: Mapped[str]  # such as jobs.cancel
    project_id: Mapped[str | None] = mapped_column(index=True)
    actor_type: Mapped[str]  # api_key, annotator or operator
    actor_id: Mapped[str]  # of the key or the invitation; the name of the operator's account
    actor_name: Mapped[str]
    resource_id: Mapped[str | None]
    request: Mapped[str]  # "POST /v1/projects", or the command
    ip_address: Mapped[str | None]
    user_agent: Mapped[str | None]
    request_id: Mapped[str | None]

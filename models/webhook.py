from enum import StrEnum

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class WebhookEndpoint(Base, Created):
    """A URL to which a project's events are sent."""

    __tablename__ = "webhook_endpoints"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str]
    url: Mapped[str]
    event_types: Mapped[list[str]]
    secret: Mapped[str]
    old_secret: Mapped[str | None]  # signs as well until its time is over
    old_secret_until: Mapped[float | None]
    updated_at: Mapped[float]


class WebhookEvent(Base, Created):
    """Something that happened, written in the transaction in which it did. Its body never changes."""

    __tablename__ = "webhook_events"
    __table_args__ = (Index("webhook_events_by_dispatch", "dispatched", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    type: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    dispatched: Mapped[bool] = mapped_column(default=False)  # whether its deliveries are written


class WebhookDelivery(Base, Created):
    """One event on its way to one endpoint."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index("webhook_deliveries_by_status", "status", "next_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.id"), index=True)
    event_id: Mapped[str] = mapped_column(ForeignKey("webhook_events.id"), index=True)
    status: Mapped[DeliveryStatus] = mapped_column(default=DeliveryStatus.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[float]  # database clock; while it is tried, when another worker may try it
    last_status: Mapped[int | None]  # HTTP
    last_error: Mapped[str | None]
    delivered_at: Mapped[float | None]

from typing import Annotated, Any

from pydantic import Field

from fettle.schemas.strict import Strict
from fettle.webhooks import events
from models import WebhookDelivery, WebhookEndpoint

NAME = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=NAME)]
Url = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[\x21-\x7e]+$")]
EventTypes = Annotated[list[events.Type], Field(min_length=1, max_length=50)]


class EndpointCreate(Strict):
    name: Name
    url: Url
    event_types: EventTypes


class EndpointUpdate(Strict):
    name: Name | None = None
    url: Url | None = None
    event_types: EventTypes | None = None


class SecretRotate(Strict):
    keep_old_secret_active_for_24_hours: bool = False


class EndpointTest(Strict):
    event_type: events.Type


def endpoint_object(endpoint: WebhookEndpoint, *, secret: bool = False) -> dict[str, Any]:
    """secret: at the creation and after a rotation alone."""
    shown = {"signing_secret": endpoint.secret} if secret else {}
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "created_at": int(endpoint.created_at),
        "updated_at": int(endpoint.updated_at),
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": endpoint.event_types,
        "signing_secret_hint": f"whsec_…{endpoint.secret[-4:]}",
        **shown,
    }


def delivery_object(row: WebhookDelivery, kind: str) -> dict[str, Any]:
    pending = row.status == "pending"
    return {
        "id": row.id,
        "object": "webhook_endpoint.delivery",
        "created_at": int(row.created_at),
        "webhook_endpoint_id": row.endpoint_id,
        "event_id": row.event_id,
        "event_type": kind,
        "status": str(row.status),
        "attempts": row.attempts,
        "next_attempt_at": int(row.next_at) if pending else None,
        "last_status_code": row.last_status,
        "last_error": row.last_error,
        "delivered_at": None if row.delivered_at is None else int(row.delivered_at),
    }

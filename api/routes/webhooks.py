import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api import audit
from api.deps import ProjectId, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.webhook import (
    EndpointCreate,
    EndpointTest,
    EndpointUpdate,
    SecretRotate,
    delivery_object,
    endpoint_object,
)
from fettle import ids
from fettle.errors import InvalidRequest
from fettle.webhooks import addresses, events, sending, store

router = APIRouter(prefix="/v1", tags=["webhooks"])

Limit = Annotated[int, Query(ge=1, le=100)]


def check_url(services: Services, url: str) -> None:
    """Raises InvalidRequest."""
    addresses.check_url(url, services.settings.webhook_networks)


@router.get("/webhook_event_types")
async def event_types() -> dict[str, Any]:
    return {"object": "list", "data": list(events.TYPES)}


@router.post("/webhook_endpoints")
async def create(
    body: EndpointCreate, services: Services, project_id: ProjectId, session: Transaction
) -> dict[str, Any]:
    """Tell a URL of events. Only this answer shows the signing secret."""
    check_url(services, body.url)
    kinds: list[str] = list(dict.fromkeys(body.event_types))
    endpoint = await store.create(session, project_id, body.name, body.url, kinds)
    audit.made(endpoint.id)
    return endpoint_object(endpoint, secret=True)


@router.get("/webhook_endpoints")
async def newest(
    project_id: ProjectId, session: Snapshot, after: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    rows, has_more = await store.newest(session, project_id, after=after, limit=limit)
    return listing(rows, endpoint_object, has_more)


@router.get("/webhook_endpoints/{webhook_endpoint_id}")
async def retrieve(webhook_endpoint_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    return endpoint_object(await store.get(session, project_id, webhook_endpoint_id))


@router.post("/webhook_endpoints/{webhook_endpoint_id}")
async def update(
    webhook_endpoint_id: str,
    body: EndpointUpdate,
    services: Services,
    project_id: ProjectId,
    session: Transaction,
) -> dict[str, Any]:
    """Change the name, the URL or the events. What you do not send stays as it is."""
    endpoint = await store.get(session, project_id, webhook_endpoint_id, lock=True)
    if body.url is not None:
        check_url(services, body.url)
    before = (endpoint.name, endpoint.url, endpoint.event_types)
    endpoint.name, endpoint.url = body.name or endpoint.name, body.url or endpoint.url
    if body.event_types is not None:
        endpoint.event_types = list(dict.fromkeys(body.event_types))
    if before != (endpoint.name, endpoint.url, endpoint.event_types):
        endpoint.updated_at = time.time()
    return endpoint_object(endpoint)


@router.delete("/webhook_endpoints/{webhook_endpoint_id}")
async def delete(webhook_endpoint_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    await store.remove(session, project_id, webhook_endpoint_id)
    return {"id": webhook_endpoint_id, "object": "webhook_endpoint.deleted", "deleted": True}


@router.post("/webhook_endpoints/{webhook_endpoint_id}/rotate_secret")
async def rotate_secret(
    webhook_endpoint_id: str, project_id: ProjectId, session: Transaction, body: SecretRotate | None = None
) -> dict[str, Any]:
    endpoint = await store.get(session, project_id, webhook_endpoint_id, lock=True)
    store.rotate(endpoint, overlap=body is not None and body.keep_old_secret_active_for_24_hours)
    return endpoint_object(endpoint, secret=True)


@router.post("/webhook_endpoints/{webhook_endpoint_id}/test")
async def test(
    webhook_endpoint_id: str, body: EndpointTest, services: Services, project_id: ProjectId
) -> dict[str, Any]:
    """Send an example event now, once."""
    async with services.db.snapshot() as session:
        endpoint = await store.get(session, project_id, webhook_endpoint_id)
    event_id = ids.new("evt_")
    content = events.body(event_id, body.event_type, "test", time.time())
    outcome = await sending.send(endpoint, event_id, content, services.settings.webhook_networks)
    if not outcome.delivered:
        raise InvalidRequest(
            f"The test event did not reach {endpoint.id!r}. {outcome.error}", code="webhook_not_delivered"
        )
    return {
        "object": "webhook_endpoint.test",
        "webhook_endpoint_id": endpoint.id,
        "event_type": body.event_type,
        "status_code": outcome.status,
        "success": True,
    }


@router.get("/webhook_endpoints/{webhook_endpoint_id}/deliveries")
async def deliveries(
    webhook_endpoint_id: str,
    project_id: ProjectId,
    session: Snapshot,
    status: Literal["pending", "delivered", "dead"] | None = None,
    after: str | None = None,
    limit: Limit = 20,
) -> dict[str, Any]:
    """What was sent to an endpoint, or is still to be, and what came of the last try. `dead`: no more tries."""
    endpoint = await store.get(session, project_id, webhook_endpoint_id)
    rows, has_more = await store.deliveries(session, endpoint, status=status, after=after, limit=limit)
    kinds = await store.types_of(session, rows)
    return listing(rows, lambda row: delivery_object(row, kinds[row.event_id]), has_more)


@router.post("/webhook_endpoints/{webhook_endpoint_id}/deliveries/{delivery_id}/redeliver")
async def redeliver(
    webhook_endpoint_id: str, delivery_id: str, project_id: ProjectId, session: Transaction
) -> dict[str, Any]:
    """Send an event again, with the same id and body."""
    endpoint = await store.get(session, project_id, webhook_endpoint_id)
    row = await store.redeliver(session, endpoint, delivery_id)
    return delivery_object(row, (await store.types_of(session, [row]))[row.event_id])

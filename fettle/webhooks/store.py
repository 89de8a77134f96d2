"""Endpoints and deliveries: create, find, change, retry."""

import base64
import random
import secrets
import time
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.db import database_now, lock
from fettle.errors import Conflict, NotFound
from fettle.pagination import page
from fettle.webhooks.sending import PREFIX, Outcome
from models import DeliveryStatus, WebhookDelivery, WebhookEndpoint, WebhookEvent

ENDPOINTS_AT_MOST = 20  # of a project
TRIES_OF_A_PROJECT = 8  # at a time: a project whose receivers hang delays its own events and no others
OVERLAP_SECONDS = 24 * 3600
DELAYS = (5, 30, 120, 600, 3600, 4 * 3600, 12 * 3600)  # seconds after each failed try; then the delivery is dead
JITTER = 0.2  # of a delay, to both sides: many that failed together do not come back together
TRY_SECONDS = 60.0  # after which another worker tries what one has begun
KEPT_SECONDS = 30 * 24 * 3600


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


async def create(
    session: AsyncSession, project_id: str, name: str, url: str, event_types: list[str]
) -> WebhookEndpoint:
    """Raises Conflict."""
    await lock(session, f"{project_id} webhooks")
    count = select(func.count()).where(WebhookEndpoint.project_id == project_id)
    if (await session.scalar(count) or 0) >= ENDPOINTS_AT_MOST:
        raise Conflict(
            f"The project has {ENDPOINTS_AT_MOST} webhook endpoints, which is the limit. Delete one first.",
            code="too_many_webhook_endpoints",
        )
    now = time.time()
    endpoint = WebhookEndpoint(
        id=ids.new("whep_"),
        project_id=project_id,
        name=name,
        url=url,
        event_types=event_types,
        secret=new_secret(),
        created_at=now,
        updated_at=now,
    )
    session.add(endpoint)
    return endpoint


async def get(session: AsyncSession, project_id: str, endpoint_id: str, *, lock: bool = False) -> WebhookEndpoint:
    endpoint = await session.get(WebhookEndpoint, endpoint_id, with_for_update=lock)
    if endpoint is None or endpoint.project_id != project_id:
        raise NotFound(f"No webhook endpoint has the id {endpoint_id!r}.", param="webhook_endpoint_id")
    return endpoint


async def newest(
    session: AsyncSession, project_id: str, *, after: str | None, limit: int
) -> tuple[list[WebhookEndpoint], bool]:
    statement = select(WebhookEndpoint).where(WebhookEndpoint.project_id == project_id)
    order = (WebhookEndpoint.created_at, WebhookEndpoint.id)
    return await page(session, statement, order, WebhookEndpoint.id, after=after, limit=limit)


async def remove(session: AsyncSession, project_id: str, endpoint_id: str) -> None:
    """With its deliveries."""
    endpoint = await get(session, project_id, endpoint_id, lock=True)
    await session.execute(delete(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint.id))
    await session.delete(endpoint)


def rotate(endpoint: WebhookEndpoint, *, overlap: bool) -> None:
    """overlap: the secret until now signs for another day as well."""
    endpoint.old_secret = endpoint.secret if overlap else None
    endpoint.old_secret_until = time.time() + OVERLAP_SECONDS if overlap else None
    endpoint.secret = new_secret()
    endpoint.updated_at = time.time()


async def deliveries(
    session: AsyncSession, endpoint: WebhookEndpoint, *, status: str | None, after: str | None, limit: int
) -> tuple[list[WebhookDelivery], bool]:
    statement = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint.id)
    if status is not None:
        statement = statement.where(WebhookDelivery.status == DeliveryStatus(status))
    order = (WebhookDelivery.created_at, WebhookDelivery.id)
    return await page(session, statement, order, WebhookDelivery.id, after=after, limit=limit)


async def types_of(session: AsyncSession, rows: Sequence[WebhookDelivery]) -> dict[str, str]:
    """By event."""
    wanted = select(WebhookEvent.id, WebhookEvent.type).where(WebhookEvent.id.in_([row.event_id for row in rows]))
    return {row.id: row.type for row in (await session.execute(wanted)).all()}


async def redeliver(session: AsyncSession, endpoint: WebhookEndpoint, delivery_id: str) -> WebhookDelivery:
    """The same event with the same id, from the first try on. Raises NotFound."""
    row = await session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if row is None or row.endpoint_id != endpoint.id:
        raise NotFound(f"The endpoint {endpoint.id!r} has no delivery {delivery_id!r}.", param="delivery_id")
    row.status, row.attempts = DeliveryStatus.PENDING, 0
    row.next_at = await session.scalar(select(database_now())) or 0
    return row


async def dispatch(session: AsyncSession, limit: int = 100) -> int:
    """Writes the deliveries of new events; returns how many events there were."""
    new = select(WebhookEvent).where(WebhookEvent.dispatched.is_(False)).order_by(WebhookEvent.created_at).limit(limit)
    events = (await session.scalars(new.with_for_update(skip_locked=True))).all()
    projects = {event.project_id for event in events}
    rows = await session.scalars(select(WebhookEndpoint).where(WebhookEndpoint.project_id.in_(projects)))
    endpoints = rows.all()
    now = await session.scalar(select(database_now())) or 0
    for event in events:
        event.dispatched = True
        for endpoint in endpoints:
            if endpoint.project_id == event.project_id and event.type in endpoint.event_types:
                session.add(
                    WebhookDelivery(
                        id=ids.new("whd_"),
                        endpoint_id=endpoint.id,
                        event_id=event.id,
                        status=DeliveryStatus.PENDING,
                        attempts=0,
                        next_at=now,
                    )
                )
    return len(events)


async def claim(
    session: AsyncSession, running: Mapping[str, int], limit: int
) -> list[tuple[WebhookDelivery, WebhookEndpoint, WebhookEvent]]:
    """What is due, for this worker to try now. running: tries of this worker by project."""
    now = await session.scalar(select(database_now())) or 0
    due = (WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.next_at <= now)
    full = [project_id for project_id, tries in running.items() if tries >= TRIES_OF_A_PROJECT]
    found = select(WebhookDelivery, WebhookEndpoint, WebhookEvent).where(*due)
    found = found.join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
    found = found.join(WebhookEvent, WebhookEvent.id == WebhookDelivery.event_id)
    owner = WebhookEndpoint.project_id
    waiting = (
        select(owner)
        .join(WebhookDelivery, WebhookDelivery.endpoint_id == WebhookEndpoint.id)
        .where(*due, owner.not_in(full))
        .group_by(owner)
        .order_by(func.min(WebhookDelivery.next_at))
        .limit(limit)
    )
    tries: list[tuple[WebhookDelivery, WebhookEndpoint, WebhookEvent]] = []
    for project_id in (await session.scalars(waiting)).all():
        room = min(TRIES_OF_A_PROJECT - running.get(project_id, 0), limit - len(tries))
        oldest = found.where(owner == project_id).order_by(WebhookDelivery.next_at).limit(room)
        oldest = oldest.with_for_update(of=WebhookDelivery, skip_locked=True)
        for row, endpoint, event in (await session.execute(oldest)).all():
            row.attempts += 1
            row.next_at = now + TRY_SECONDS
            tries.append((row, endpoint, event))
    return tries


async def note(session: AsyncSession, delivery_id: str, attempts: int, outcome: Outcome) -> None:
    """What came of a try; nothing where the delivery was deleted, or has begun anew."""
    row = await session.get(WebhookDelivery, delivery_id, with_for_update=True, populate_existing=True)
    if row is None or row.attempts != attempts or row.status != DeliveryStatus.PENDING:
        return
    row.last_status, row.last_error = outcome.status, outcome.error
    if outcome.delivered:
        row.status, row.delivered_at = DeliveryStatus.DELIVERED, time.time()
    elif attempts > len(DELAYS):
        row.status = DeliveryStatus.DEAD
    else:
        delay = DELAYS[attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)
        row.next_at = (await session.scalar(select(database_now())) or 0) + delay


async def sweep(session: AsyncSession) -> None:
    """Deletes what is over for a month."""
    before = time.time() - KEPT_SECONDS
    over = WebhookDelivery.status != DeliveryStatus.PENDING
    await session.execute(delete(WebhookDelivery).where(over, WebhookDelivery.created_at < before))
    left = select(WebhookDelivery.event_id)
    old = WebhookEvent.dispatched.is_(True) & (WebhookEvent.created_at < before)
    await session.execute(delete(WebhookEvent).where(old, WebhookEvent.id.not_in(left)))


async def any_due(session: AsyncSession) -> bool:
    """Reads only, so that an idle worker takes no lock."""
    new = select(WebhookEvent.id).where(WebhookEvent.dispatched.is_(False)).limit(1)
    due = select(WebhookDelivery.id).where(
        WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.next_at <= database_now()
    )
    return await session.scalar(new) is not None or await session.scalar(due.limit(1)) is not None

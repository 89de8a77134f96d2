"""Delivers webhooks: writes the deliveries of new events, and tries those that are due."""

import asyncio
import contextlib

import structlog

from fettle.db import DATABASE_AWAY
from fettle.observability.causes import in_words
from fettle.webhooks import addresses, sending, store
from fettle.webhooks.addresses import Network
from models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from worker.attempts.resources import Resources

log = structlog.get_logger()

AT_ONCE = 16  # tries
LOOK_SECONDS = 1.0

Task = tuple[WebhookDelivery, WebhookEndpoint, WebhookEvent]


async def serve(resources: Resources, woken: asyncio.Event) -> None:
    """For ever."""
    allowed = addresses.networks(resources.settings.webhook_networks)
    while True:
        woken.clear()  # before the look: a ring during it is heard
        try:
            if await round_of(resources, allowed):
                continue
        except Exception as error:  # whatever it is, the next look may go better
            away = isinstance(error, DATABASE_AWAY)
            log.warning("webhooks_not_delivered", cause=in_words(error), exc_info=None if away else error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), min(LOOK_SECONDS, resources.settings.poll_seconds))


async def round_of(resources: Resources, allowed: list[Network]) -> bool:
    """Whether there was anything to do."""
    async with resources.db.snapshot() as session:
        if not await store.any_due(session):
            return False
    async with resources.db.transaction() as session:
        events = await store.dispatch(session)
    async with resources.db.transaction() as session:
        tasks = await store.claim(session, AT_ONCE)
    await asyncio.gather(*(deliver(resources, allowed, task) for task in tasks))
    return bool(events or tasks)


async def deliver(resources: Resources, allowed: list[Network], task: Task) -> None:
    delivery, endpoint, event = task
    outcome = await sending.send(endpoint, event.id, event.body, allowed)
    async with resources.db.transaction() as session:
        await store.note(session, delivery.id, delivery.attempts, outcome)
    log.info("webhook_tried", delivery_id=delivery.id, attempt=delivery.attempts, status=outcome.status)

"""Delivers webhooks: writes the deliveries of new events, and tries those that are due."""

import asyncio
from collections import Counter

import structlog

from fettle.db import DATABASE_AWAY
from fettle.observability.causes import in_words
from fettle.webhooks import sending, store
from models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from worker.attempts.resources import Resources

log = structlog.get_logger()

AT_ONCE = 64  # tries
LOOK_SECONDS = 1.0

Try = tuple[WebhookDelivery, WebhookEndpoint, WebhookEvent]


async def serve(resources: Resources) -> None:
    """For ever."""
    running: dict[asyncio.Task[None], str] = {}  # to the project
    while True:
        try:
            for each in await due(resources, Counter(running.values())):
                running[asyncio.create_task(deliver(resources, each))] = each[1].project_id
        except Exception as error:  # whatever it is, the next look may go better
            away = isinstance(error, DATABASE_AWAY)
            log.warning("webhooks_not_delivered", cause=in_words(error), exc_info=None if away else error)
        pause = asyncio.create_task(asyncio.sleep(min(LOOK_SECONDS, resources.settings.poll_seconds)))
        try:
            await asyncio.wait({pause, *running}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for task in running:
                task.cancel()  # another worker tries them again in a minute, with the same ids
            raise
        finally:
            pause.cancel()
        running = {task: project_id for task, project_id in running.items() if not task.done()}


async def due(resources: Resources, running: Counter[str]) -> list[Try]:
    async with resources.db.snapshot() as session:
        if running.total() >= AT_ONCE or not await store.any_due(session):
            return []
    async with resources.db.transaction() as session:
        await store.dispatch(session)
    async with resources.db.transaction() as session:
        return await store.claim(session, running, AT_ONCE - running.total())


async def deliver(resources: Resources, each: Try) -> None:
    delivery, endpoint, event = each
    outcome = await sending.send(endpoint, event.id, event.body, resources.settings.webhook_networks)
    try:
        async with resources.db.transaction() as session:
            await store.note(session, delivery.id, delivery.attempts, outcome)
    except DATABASE_AWAY as error:
        log.warning("webhook_not_noted", delivery_id=delivery.id, cause=in_words(error))
    log.info("webhook_tried", delivery_id=delivery.id, attempt=delivery.attempts, status=outcome.status)

"""Storage that is away is waited for: an outage costs a run time, never an attempt."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from fettle.jobs import events
from fettle.storage import Away
from models import Job
from worker.attempts.ledger import write
from worker.attempts.resources import Held

log = structlog.get_logger()

FIRST_PAUSE = 0.5  # seconds; each is twice the one before
Result = TypeVar("Result")


async def patiently(held: Held, job: Job, action: Callable[[], Awaitable[Result]]) -> Result:
    """Does it again until storage answers, however long that takes. Raises Fenced."""
    pause, waited = FIRST_PAUSE, False
    while True:
        try:
            result = await action()
            break
        except Away as error:
            log.warning("storage_away", job_id=job.id, error=str(error))
        if not waited:
            await tell(held, job, "Storage does not answer; the job waits for it", "warn")
            waited = True
        await asyncio.sleep(min(pause, held.settings.storage_retry_seconds))
        pause *= 2
    if waited:
        await tell(held, job, "Storage answers again; the job goes on", "info")
    return result


async def tell(held: Held, job: Job, message: str, level: events.Level) -> None:
    await write(held, job, lambda session, row: events.add(session, job.id, message, level=level))

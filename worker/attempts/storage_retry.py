"""Storage that is away is waited for: an outage costs a run time, never an attempt."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from fettle.causes import for_tenants, in_words
from fettle.errors import TrainingFailed
from fettle.jobs import events
from fettle.storage import Away, Refused
from models import STORAGE_REFUSED, Job
from worker.attempts.ledger import write
from worker.attempts.resources import Held

log = structlog.get_logger()

FIRST_PAUSE = 0.5  # seconds; each is twice the one before
Result = TypeVar("Result")


async def patiently(held: Held, job: Job, action: Callable[[], Awaitable[Result]]) -> Result:
    """Does it again until storage answers, however long that takes. Raises Fenced, and TrainingFailed for a refusal."""
    pause, waited = FIRST_PAUSE, False
    while True:
        try:
            result = await action()
            break
        except Refused as error:
            log.error("storage_refused", job_id=job.id, cause=in_words(error))
            raise TrainingFailed(STORAGE_REFUSED, refusal(error)) from error
        except Away as error:
            log.warning("storage_away", job_id=job.id, cause=in_words(error))
            trouble = error
        if not waited:
            message = f"Storage does not answer; the job waits for it: {trouble.key}, {for_tenants(trouble.words)}"
            await tell(held, job, message, "warn")
            waited = True
        await asyncio.sleep(min(pause, held.settings.storage_retry_seconds))
        pause *= 2
    if waited:
        await tell(held, job, "Storage answers again; the job goes on", "info")
    return result


def refusal(error: Refused) -> str:
    return (
        f"The storage refused the object {error.key}: {for_tenants(error.words)}. When the operator has mended that, "
        "resume the job."
    )


async def tell(held: Held, job: Job, message: str, level: events.Level) -> None:
    await write(held, job, lambda session, row: events.add(session, job.id, message, level=level))

"""What a worker reads and writes down: one transaction at a time, however long the database is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.causes import in_words
from fettle.db import DATABASE_AWAY
from fettle.jobs import leases
from fettle.observability.metrics import errors
from models import Job
from worker.attempts.resources import Held

log = structlog.get_logger()

PAUSE_SECONDS = 1
Result = TypeVar("Result")
Change = Callable[[AsyncSession, Job], Awaitable[None] | None]


async def write(held: Held, job: Job, change: Change) -> None:
    """`change` gets the job's row, held until the transaction ends. Raises Fenced."""

    async def once() -> None:
        async with held.db.transaction() as session:
            result = change(session, await leases.hold(session, job.id, job.fence))
            if result is not None:
                await result

    await until_back(job, once)


async def read(held: Held, job: Job, look: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    async def once() -> Result:
        async with held.db.snapshot() as session:
            return await look(session)

    return await until_back(job, once)


async def until_back(job: Job, action: Callable[[], Awaitable[Result]]) -> Result:
    while True:
        try:
            return await action()
        except DATABASE_AWAY as error:
            errors.labels("database").inc()
            log.warning("database_away", cause=in_words(error))
            await asyncio.sleep(PAUSE_SECONDS)

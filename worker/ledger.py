"""What a worker writes down: one transaction at a time, under its lease, however long the database is away."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import leases
from fettle.db import DATABASE_AWAY
from fettle.metrics import errors
from models import Job
from worker.workfolder import Held

log = structlog.get_logger()

PAUSE_SECONDS = 1
Change = Callable[[AsyncSession, Job], Awaitable[None] | None]


async def write(held: Held, job: Job, change: Change) -> None:
    """`change` gets the job's row, held until the transaction ends. Raises Fenced."""
    while True:
        try:
            async with held.db.transaction() as session:
                result = change(session, await leases.hold(session, job.id, job.fence))
                if result is not None:
                    await result
            return
        except DATABASE_AWAY as error:
            errors.labels("database").inc()
            log.warning("database_away", error=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)

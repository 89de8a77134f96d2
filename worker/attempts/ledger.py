"""What a worker reads and writes down: one transaction at a time, however long the database is away."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.causes import in_words
from fettle.db import DATABASE_AWAY, DatabaseFull
from fettle.errors import TrainingFailed
from fettle.jobs import leases
from fettle.observability.metrics import errors
from fettle.storage import reserve
from models import DISK_FULL, Job
from worker.attempts.resources import Held

log = structlog.get_logger()

PAUSE_SECONDS = 1
DISK_FULL_MESSAGE = (
    "The worker's disk is full. Free space there, or point the worker's data folder at a larger disk, and resume the "
    "job."
)
Result = TypeVar("Result")
Change = Callable[[AsyncSession, Job], Awaitable[None] | None]


async def write(held: Held, job: Job, change: Change, *, last: bool = False) -> None:
    """`change` gets the job's row, held until the transaction ends. Raises Fenced.

    last: how the run ended, which is written whatever it takes; any other write raises TrainingFailed on a full disk.
    """

    async def once() -> None:
        async with held.db.transaction() as session:
            result = change(session, await leases.hold(session, job.id, job.fence))
            if result is not None:
                await result

    await until_back(job, once, partial(reserve.release, held.settings) if last else None)


async def read(held: Held, job: Job, look: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    async def once() -> Result:
        async with held.db.snapshot() as session:
            return await look(session)

    return await until_back(job, once)


async def until_back(
    job: Job, action: Callable[[], Awaitable[Result]], full: Callable[[], None] | None = None
) -> Result:
    """Again and again while the database is away. `full` makes room on its disk; without it a full disk ends the job.

    Raises TrainingFailed.
    """
    while True:
        try:
            return await action()
        except DatabaseFull as error:
            log.error("database_full", cause=in_words(error))
            if full is None:
                raise TrainingFailed(DISK_FULL, DISK_FULL_MESSAGE) from error
            full()
            await asyncio.sleep(PAUSE_SECONDS)
        except DATABASE_AWAY as error:
            errors.labels("database").inc()
            log.warning("database_away", cause=in_words(error))
            await asyncio.sleep(PAUSE_SECONDS)

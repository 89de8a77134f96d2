"""One attempt at a job, from its claim to its end: every read and write that a worker makes for it.

A database or a storage that is away costs a run time, never an attempt: both are asked again until they answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import DATABASE_AWAY, DatabaseFull
from fettle.errors import TrainingFailed
from fettle.jobs import events, leases
from fettle.observability.causes import for_tenants, in_words
from fettle.observability.metrics import errors
from fettle.settings import Settings
from fettle.storage import Away, Refused, Storage, reserve
from models import DISK_FULL, STORAGE_REFUSED, Job
from worker.attempts.resources import Resources

log = structlog.get_logger()

DATABASE_PAUSE = 1.0  # seconds
STORAGE_PAUSE = 0.5  # seconds; each is twice the one before, up to the operator's longest
DISK_FULL_MESSAGE = (
    "The worker's disk is full. Free space there, or point the worker's data folder at a larger disk, and resume the "
    "job."
)
Result = TypeVar("Result")
Change = Callable[[AsyncSession, Job], Awaitable[None] | None]


@dataclass(frozen=True)
class Attempt:
    """job: its row as it was at the claim; `write` gets the row as it is now.

    node: of the gang that trains the job; only the first, which claimed it, tells of what all of them do.
    """

    resources: Resources
    job: Job
    node: int = 0

    @property
    def settings(self) -> Settings:
        return self.resources.settings

    @property
    def storage(self) -> Storage:
        return self.resources.storage

    @property
    def prefix(self) -> str:
        """Of everything that this attempt stores: the fence in it tells it from what another attempt stores."""
        return f"jobs/{self.job.id}/{self.job.fence}"

    async def write(self, change: Change, *, last: bool = False) -> None:
        """One transaction, in which `change` gets the job's row, locked. Raises Fenced.

        last: how the run ended, which is written whatever it takes; any other write raises TrainingFailed on a full
        disk.
        """

        async def once() -> None:
            async with self.resources.db.transaction() as session:
                result = change(session, await leases.hold(session, self.job.id, self.job.fence))
                if result is not None:
                    await result

        await until_database_answers(once, partial(reserve.release, self.settings) if last else None)

    async def read(self, look: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        async def once() -> Result:
            async with self.resources.db.snapshot() as session:
                return await look(session)

        return await until_database_answers(once)

    async def retry(self, action: Callable[[], Awaitable[Result]]) -> Result:
        """Until storage answers, however long that takes; the job's events say so.

        Raises Fenced, and TrainingFailed when storage refuses.
        """
        pause, waited = STORAGE_PAUSE, False
        while True:
            try:
                result = await action()
                break
            except Refused as error:
                log.error("storage_refused", job_id=self.job.id, cause=in_words(error))
                raise TrainingFailed(STORAGE_REFUSED, refusal(error)) from error
            except Away as error:
                log.warning("storage_away", job_id=self.job.id, cause=in_words(error))
                cause = f"{error.key}, {for_tenants(error.words)}"
            if not waited:
                await self.tell(f"Storage is not responding ({cause}). The job will continue when it is back.", "warn")
                waited = True
            await asyncio.sleep(min(pause, self.settings.storage_retry_seconds))
            pause *= 2
        if waited:
            await self.tell("Storage is back. The job continues.")
        return result

    async def tell(self, message: str, level: events.Level = "info", data: dict[str, Any] | None = None) -> None:
        """An event of the job. Raises Fenced."""
        if self.node == 0:
            await self.write(lambda session, row: events.add(session, row.id, message, level=level, data=data))


async def until_database_answers(
    action: Callable[[], Awaitable[Result]], make_room: Callable[[], None] | None = None
) -> Result:
    """make_room: on the database's full disk; without it a full disk ends the job. Raises TrainingFailed."""
    while True:
        try:
            return await action()
        except DatabaseFull as error:
            log.error("database_full", cause=in_words(error))
            if make_room is None:
                raise TrainingFailed(DISK_FULL, DISK_FULL_MESSAGE) from error
            make_room()
        except DATABASE_AWAY as error:
            errors.labels("database").inc()
            log.warning("database_away", cause=in_words(error))
        await asyncio.sleep(DATABASE_PAUSE)


def refusal(error: Refused) -> str:
    return (
        f"The storage refused the object {error.key}: {for_tenants(error.words)}. Ask the operator to fix this, and "
        "resume the job."
    )

"""This worker's row in the database: written at the start, renewed with every heartbeat, removed at the end."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

import structlog

from fettle import __version__
from fettle.db import DATABASE_AWAY
from fettle.host import cpu, memory
from fettle.host.devices import Slot
from fettle.jobs import waiting, workers
from fettle.settings import split
from models import Worker
from worker.attempts.resources import Resources

log = structlog.get_logger()

GOODBYE_SECONDS = 2  # for removing the row; without a database it ages until it no longer counts


def host() -> str:
    return socket.gethostname()


def worker_id() -> str:
    """A slot's owner is this and the slot's number."""
    return f"{host()}:{os.getpid()}"


def describe(resources: Resources, slots: list[Slot]) -> Worker:
    return Worker(
        id=worker_id(),
        host=host(),
        version=__version__,
        slots=[str(slot) for slot in slots],
        memory=memory.of_slots(slots),
        gpus=[slot.gpus for slot in slots],
        cpu_bf16=resources.settings.cpu_bf16 and cpu.native_bf16(),
        labels=split(resources.settings.worker_labels),
        base_models=list(resources.models),
        sandbox=None,
        stopping=False,
    )


@contextlib.asynccontextmanager
async def announced(resources: Resources, row: Worker, stopping: asyncio.Event) -> AsyncIterator[None]:
    """While it lasts the row says that this worker is alive."""
    task = asyncio.create_task(keep(resources, row, stopping))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(*DATABASE_AWAY, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS), resources.db.transaction() as session:
                await workers.remove(session, row.id)


async def keep(resources: Resources, row: Worker, stopping: asyncio.Event) -> None:
    """Also tells the jobs that wait why they do, since somebody has to and every worker is here anyway."""
    while True:
        row.stopping = stopping.is_set()
        try:
            async with resources.db.transaction() as session:
                await workers.renew(session, row)
            async with resources.db.transaction() as session:
                await waiting.note_changes(session, resources.settings)
        except DATABASE_AWAY as error:
            log.warning("database_away", error=type(error).__name__)
        except Exception as error:  # a bug here must not look like a dead worker
            log.error("not_announced", exc_info=error)
        await asyncio.sleep(resources.settings.heartbeat_seconds)

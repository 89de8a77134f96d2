"""The worker: a claim loop per slot, the doorbell, and the reconciler, in one event loop that never blocks."""

import asyncio
import contextlib
import os
import signal
import socket

import structlog

from fettle import catalog, devices, leases, queue
from fettle.db import DATABASE_AWAY, Database
from fettle.devices import Slot
from fettle.logs import configure
from fettle.settings import Settings
from fettle.storage import open_storage
from worker import environment
from worker.children import Nursery
from worker.supervisor import supervise
from worker.workfolder import Held

log = structlog.get_logger()


def run() -> None:
    settings = Settings()
    configure()
    found = devices.visible()
    slots = devices.slots(settings, found)
    threads = environment.threads_per_slot(settings.threads, len(slots))
    held = Held(
        settings=settings,
        db=Database(settings.database),
        storage=open_storage(settings),
        models=catalog.load(settings.catalog),
        threads=threads,
    )
    environment.scrub(threads)  # after this line no child can inherit a secret
    if unused := devices.idle(slots, found):
        log.warning("gpus_idle", devices=unused, gpus_per_job=settings.gpus_per_job, slots=len(slots))
    nursery = Nursery(settings.warm_children)
    asyncio.run(work(held, nursery, slots))


async def work(held: Held, nursery: Nursery, slots: list[Slot]) -> None:
    """Until SIGTERM or SIGINT; then every run leaves a checkpoint and goes back to the queue."""
    stopping, woken = asyncio.Event(), asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stopping.set)
    serving = [
        asyncio.create_task(serve_slot(held, nursery, number, slot, woken, stopping))
        for number, slot in enumerate(slots)
    ]
    others = [
        asyncio.create_task(queue.listen(held.settings, woken.set)),
        asyncio.create_task(reconcile(held, woken)),
    ]
    warm = held.settings.warm_children
    log.info("worker_started", slots=[str(slot) for slot in slots], threads=held.threads, warm=warm)
    await asyncio.gather(*serving)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await held.db.close()
    log.info("worker_stopped")


async def serve_slot(
    held: Held, nursery: Nursery, number: int, slot: Slot, woken: asyncio.Event, stopping: asyncio.Event
) -> None:
    """Claims one job after another."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{number}"
    while not stopping.is_set():
        woken.clear()  # before the look: a ring during it is heard
        try:
            async with held.db.transaction() as session:
                job = await leases.claim(session, owner, held.settings.lease_seconds)
        except DATABASE_AWAY as error:
            log.warning("database_away", error=type(error).__name__)
            job = None
        if job is None:
            await first_of(woken, stopping, seconds=held.settings.poll_seconds)
            continue
        log.info("job_claimed", job_id=job.id, fence=job.fence, attempt=job.attempts)
        try:
            await supervise(held, nursery, slot, job, stopping)
        except Exception as error:  # a bug: this job waits out its lease, the others go on
            log.error("supervisor_failed", job_id=job.id, exc_info=error)


async def reconcile(held: Held, woken: asyncio.Event) -> None:
    """Takes back jobs whose worker fell silent."""
    while True:
        await asyncio.sleep(held.settings.reconcile_seconds)
        try:
            async with held.db.transaction() as session:
                lost = await leases.reclaim_expired(session, held.settings.max_attempts)
        except Exception as error:  # whatever it is, silent workers must go on being noticed
            log.warning("not_reconciled", exc_info=None if isinstance(error, DATABASE_AWAY) else error)
            continue
        if lost:
            log.warning("leases_reclaimed", job_ids=list(lost))
            woken.set()


async def first_of(*events: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*waits, return_exceptions=True)

"""One job's supervisor: claim in hand, it fills the work folder, runs the child, and writes down how that ended.

No transaction waits for the child or for storage. Every write begins by holding the lease; a supervisor that finds
itself fenced kills its child and publishes nothing.
"""

import asyncio
import contextlib
import errno
import shutil
import time
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.causes import for_tenants, in_words
from fettle.db import DATABASE_AWAY
from fettle.devices import Slot
from fettle.errors import Fenced, TrainingFailed
from fettle.jobs import events, leases
from fettle.storage import reserve
from models import DISK_FULL, STORAGE_REFUSED, Job
from worker import metrics
from worker.attempts.ledger import DISK_FULL_MESSAGE, write
from worker.attempts.resources import Held
from worker.attempts.storage_retry import tell
from worker.jobs import publish_retry, publishing, verification, work_folder
from worker.jobs.messages import Died, Drained, relay
from worker.jobs.training_process import Child, Nursery
from worker.reporting.client import Reports
from worker.rewards.rollout_recorder import Rollouts

log = structlog.get_logger()


async def supervise(held: Held, nursery: Nursery, slot: Slot, job: Job, stopping: asyncio.Event) -> None:
    """Runs one claimed job to whatever end it has. Never raises for the job's own troubles."""
    folder = work_folder.path(held, job)
    halt = asyncio.Event()  # the worker stops, or a pause was asked for
    reports = Reports(held, job)
    lease = asyncio.create_task(keep_lease(held, job, halt))
    work = asyncio.create_task(carry_out(held, nursery, slot, job, folder, halt, reports))
    drain = asyncio.create_task(halt_with_worker(held, stopping, halt))
    outcome = "lost"
    try:
        await asyncio.wait({lease, work, drain}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()  # the child dies with its task
            await asyncio.wait({work})
        error = Drained() if work.cancelled() else explained(work.exception(), folder)
        if error is None:
            outcome = "published"
        elif lease.done():
            await lease  # raises
        elif isinstance(error, Fenced):
            raise error
        else:
            outcome = OUTCOMES.get(type(error), "lost")
            tail = work_folder.log_tail(folder)
            await clear_away(folder)  # first: a database on the same full disk needs the space to take this down
            await settle(held, job, tail, error, planned=stopping.is_set())
    except Fenced:
        outcome = "fenced"
        log.info("fenced")
    finally:
        metrics.runs.labels(outcome).inc()
        reports.conclude()
        for task in (lease, drain):
            task.cancel()
        await asyncio.gather(lease, drain, return_exceptions=True)
        await clear_away(folder)


OUTCOMES = {TrainingFailed: "failed", Drained: "drained"}


def explained(error: BaseException | None, folder: Path) -> BaseException | None:
    """A full disk is the job's end: another attempt would fill it again. It can kill a child before it says so."""
    if isinstance(error, Died) and is_full(folder):
        return TrainingFailed(DISK_FULL, DISK_FULL_MESSAGE)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TrainingFailed(DISK_FULL, DISK_FULL_MESSAGE)
    return error


def is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < reserve.LOW
    except OSError:
        return False


async def clear_away(folder: Path) -> None:
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()  # unless the job is being run again


async def settle(held: Held, job: Job, tail: list[str], error: BaseException, *, planned: bool) -> None:
    """Writes down how a run ended that did not succeed; a planned stop is nobody's fault. Raises Fenced.

    tail: the last lines that the child printed.
    """
    limit = held.settings.max_attempts
    if isinstance(error, TrainingFailed):
        failed = error
        await write(held, job, lambda s, row: leases.fail(s, row, failed.code, failed.message, failed.param), last=True)
    elif isinstance(error, Drained):
        why = "The worker is stopping" if planned else "The pause was withdrawn"
        await write(
            held, job, lambda s, row: leases.give_back(s, row, why, max_attempts=limit, counted=False), last=True
        )
    else:
        log.error("run_lost", exc_info=None if isinstance(error, Died) else error)
        why = str(error) if isinstance(error, Died) else f"The worker could not go on: {for_tenants(in_words(error))}"

        def change(session: AsyncSession, row: Job) -> None:
            if tail:
                events.add(session, job.id, "Last lines of the training log", level="warn", data={"log": tail})
            leases.give_back(session, row, why, max_attempts=limit, counted=not planned)

        await write(held, job, change, last=True)
    log.info("run_ended", why=f"{type(error).__name__}: {error}")


async def keep_lease(held: Held, job: Job, halt: asyncio.Event) -> None:
    """Ends by raising Fenced, when the job is no longer ours. Sets `halt` when it is to be paused.

    While the database is away training goes on: nobody can take the job over without it, or write without the fence.
    """
    settings = held.settings
    renewed = time.monotonic()
    while True:
        await asyncio.sleep(settings.watch_seconds)
        try:
            async with asyncio.timeout(settings.lease_seconds / 2):  # a call that hangs must not cost the lease
                if time.monotonic() - renewed >= settings.heartbeat_seconds:
                    async with held.db.transaction() as session:
                        await leases.renew(session, job.id, job.fence, settings.lease_seconds)
                    renewed = time.monotonic()
                else:
                    async with held.db.snapshot() as session:
                        if await leases.check(session, job.id, job.fence):
                            halt.set()
        except (*DATABASE_AWAY, TimeoutError) as error:
            log.warning("database_away", cause=in_words(error))


async def halt_with_worker(held: Held, stopping: asyncio.Event, halt: asyncio.Event) -> None:
    """Ends when the worker has waited long enough for a last checkpoint."""
    await stopping.wait()
    halt.set()
    await asyncio.sleep(held.settings.drain_seconds)


async def carry_out(
    held: Held, nursery: Nursery, slot: Slot, job: Job, folder: Path, halt: asyncio.Event, reports: Reports
) -> None:
    """Returns when the job is published. Raises TrainingFailed, Died, Drained or Fenced."""
    if (run := publish_retry.find(held, job)) is not None:
        await publish_again(held, nursery, slot, job, run)
        return
    await unless_halted(work_folder.prepare(held, job, folder), halt)
    await reports.start()
    metrics.children.inc()
    child = await nursery.start(folder, slot)
    stop = asyncio.create_task(stop_when_halted(child, halt))
    scored = Rollouts(held, job, child)
    scored.open()
    try:
        done = await relay(held, job, folder, child, reports, halt, scored)
        await scored.conclude()
    finally:
        stop.cancel()
        await scored.close()
        await child.kill()
    verify = partial(verification.verify, held, nursery, slot, job, folder, done)
    files = await reports.files()
    try:
        await publishing.publish(held, job, folder / done["path"], done, files, verify)
    except TrainingFailed as error:
        if error.code == STORAGE_REFUSED:
            await publish_retry.keep(held, job, folder, done, files)
        raise
    metrics.trained_tokens.inc(done["trained_tokens"])


async def publish_again(held: Held, nursery: Nursery, slot: Slot, job: Job, run: publish_retry.Run) -> None:
    """What an earlier attempt trained and storage refused. Raises TrainingFailed and Fenced."""
    await tell(held, job, "The adapter of the earlier attempt is published; nothing is trained again", "info")
    verify = partial(verification.verify, held, nursery, slot, job, run.folder, run.done)
    await publishing.publish(held, job, run.adapter, run.done, run.files, verify)
    metrics.trained_tokens.inc(run.done["trained_tokens"])
    await publish_retry.forget(held, job)


async def unless_halted(preparation: Coroutine[Any, Any, None], halt: asyncio.Event) -> None:
    """Nothing is lost by leaving it half-way. Raises Drained."""
    task, halted = asyncio.create_task(preparation), asyncio.create_task(halt.wait())
    try:
        await asyncio.wait({task, halted}, return_when=asyncio.FIRST_COMPLETED)
        if halted.done():
            raise Drained
        await task
    finally:
        for each in (task, halted):
            each.cancel()
        await asyncio.gather(task, halted, return_exceptions=True)


async def stop_when_halted(child: Child, halt: asyncio.Event) -> None:
    await halt.wait()
    child.say({"type": "stop"})

"""One job's supervisor fills the work folder, runs the training process, and records how the run ended.

No transaction waits for the process or for storage. Every write first checks the lease. A supervisor that is fenced
kills the process and publishes nothing.
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

from fettle.db import DATABASE_AWAY
from fettle.errors import Fenced, TrainingFailed
from fettle.host.devices import Slot
from fettle.jobs import events, leases
from fettle.observability.causes import for_tenants, in_words
from fettle.settings import Settings
from fettle.storage import reserve
from models import DISK_FULL, STORAGE_REFUSED, Job
from worker import metrics
from worker.attempts.attempt import DISK_FULL_MESSAGE, Attempt
from worker.jobs import publish_retry, publishing, verification, work_folder
from worker.jobs.messages import RunHalted, TrainingCrashed, process_messages
from worker.jobs.training_process import Child, ProcessLauncher
from worker.reporting.client import Reports
from worker.rewards.rollout_recorder import RolloutRecorder

log = structlog.get_logger()


async def supervise(attempt: Attempt, launcher: ProcessLauncher, slot: Slot, stopping: asyncio.Event) -> None:
    """Runs one claimed job until it ends. Never raises for a failure of the job itself."""
    folder = work_folder.path(attempt)
    halt = asyncio.Event()  # the worker stops, or a pause was asked for
    reports = Reports(attempt)
    lease = asyncio.create_task(keep_lease(attempt, halt))
    work = asyncio.create_task(carry_out(attempt, launcher, slot, folder, halt, reports))
    drain = asyncio.create_task(halt_with_worker(attempt.settings, stopping, halt))
    outcome = "lost"
    try:
        await asyncio.wait({lease, work, drain}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()  # the child dies with its task
            await asyncio.wait({work})
        error = RunHalted() if work.cancelled() else cause_of(work.exception(), folder)
        if error is None:
            outcome = "published"
        elif lease.done():
            await lease  # raises
        elif isinstance(error, Fenced):
            raise error
        else:
            outcome = OUTCOMES.get(type(error), "lost")
            tail = work_folder.log_tail(folder)
            await clear_away(folder)  # first: a database on the same full disk needs the space to record the failure
            await settle(attempt, tail, error, planned=stopping.is_set())
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


OUTCOMES = {TrainingFailed: "failed", RunHalted: "drained"}


def cause_of(error: BaseException | None, folder: Path) -> BaseException | None:
    """A full disk fails the job: another attempt would fill it again. It can kill a process that cannot report it."""
    if isinstance(error, TrainingCrashed) and is_full(folder):
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


async def settle(attempt: Attempt, tail: list[str], error: BaseException, *, planned: bool) -> None:
    """Records how a run ended that did not succeed. A planned stop does not count as an attempt. Raises Fenced.

    tail: the last lines that the child printed.
    """
    limit = attempt.settings.max_attempts
    if isinstance(error, TrainingFailed):
        failed = error
        await attempt.write(lambda s, row: leases.fail(s, row, failed.code, failed.message, failed.param), last=True)
    elif isinstance(error, RunHalted):
        why = "The worker is stopping" if planned else "The pause was withdrawn"
        await attempt.write(lambda s, row: leases.release(s, row, why, max_attempts=limit, counted=False), last=True)
    else:
        log.error("run_lost", exc_info=None if isinstance(error, TrainingCrashed) else error)
        crashed = isinstance(error, TrainingCrashed)
        why = str(error) if crashed else f"The worker failed: {for_tenants(in_words(error))}"

        def change(session: AsyncSession, row: Job) -> None:
            if tail:
                events.add(session, row.id, "Last lines of the training log", level="warn", data={"log": tail})
            leases.release(session, row, why, max_attempts=limit, counted=not planned)

        await attempt.write(change, last=True)
    log.info("run_ended", why=f"{type(error).__name__}: {error}")


async def keep_lease(attempt: Attempt, halt: asyncio.Event) -> None:
    """Raises Fenced when the job is no longer ours. Sets `halt` when the job must pause.

    Training continues while the database is away: without it nobody can take over the job, or write without the fence.
    """
    settings = attempt.settings
    renewed = time.monotonic()
    while True:
        await asyncio.sleep(settings.watch_seconds)
        try:
            async with asyncio.timeout(settings.lease_seconds / 2):  # a call that hangs must not cost the lease
                if time.monotonic() - renewed >= settings.heartbeat_seconds:
                    async with attempt.resources.db.transaction() as session:
                        await leases.renew(session, attempt.job.id, attempt.job.fence, settings.lease_seconds)
                    renewed = time.monotonic()
                else:
                    async with attempt.resources.db.snapshot() as session:
                        if await leases.check(session, attempt.job.id, attempt.job.fence):
                            halt.set()
        except (*DATABASE_AWAY, TimeoutError) as error:
            log.warning("database_away", cause=in_words(error))


async def halt_with_worker(settings: Settings, stopping: asyncio.Event, halt: asyncio.Event) -> None:
    """Ends when the worker has waited long enough for a last checkpoint."""
    await stopping.wait()
    halt.set()
    await asyncio.sleep(settings.drain_seconds)


async def carry_out(
    attempt: Attempt, launcher: ProcessLauncher, slot: Slot, folder: Path, halt: asyncio.Event, reports: Reports
) -> None:
    """Returns when the job is published. Raises TrainingFailed, TrainingCrashed, RunHalted or Fenced."""
    if (run := publish_retry.find(attempt)) is not None:
        await publish_again(attempt, launcher, slot, run)
        return
    await cancel_on_halt(work_folder.prepare(attempt, folder), halt)
    await reports.start()
    metrics.children.inc()
    child = await launcher.start(folder, slot)
    stop = asyncio.create_task(stop_when_halted(child, halt))
    recorder = RolloutRecorder(attempt, child)
    recorder.open()
    try:
        done = await process_messages(attempt, folder, child, reports, halt, recorder)
        await recorder.conclude()
    finally:
        stop.cancel()
        await recorder.close()
        await child.kill()
    verify = partial(verification.verify, attempt, launcher, slot, folder, done)
    files = await reports.files()
    try:
        await publishing.publish(attempt, folder / done["path"], done, files, verify)
    except TrainingFailed as error:
        if error.code == STORAGE_REFUSED:
            await publish_retry.keep(attempt, folder, done, files)
        raise
    metrics.trained_tokens.inc(done["trained_tokens"])


async def publish_again(attempt: Attempt, launcher: ProcessLauncher, slot: Slot, run: publish_retry.Run) -> None:
    """Publishes what an earlier attempt trained and storage refused. Raises TrainingFailed and Fenced."""
    await attempt.tell("The adapter of the earlier attempt will be published. No training is repeated.")
    verify = partial(verification.verify, attempt, launcher, slot, run.folder, run.done)
    await publishing.publish(attempt, run.adapter, run.done, run.files, verify)
    metrics.trained_tokens.inc(run.done["trained_tokens"])
    await publish_retry.forget(attempt)


async def cancel_on_halt(preparation: Coroutine[Any, Any, None], halt: asyncio.Event) -> None:
    """A preparation can be cancelled at any point without loss. Raises RunHalted."""
    task, halted = asyncio.create_task(preparation), asyncio.create_task(halt.wait())
    try:
        await asyncio.wait({task, halted}, return_when=asyncio.FIRST_COMPLETED)
        if halted.done():
            raise RunHalted
        await task
    finally:
        for each in (task, halted):
            each.cancel()
        await asyncio.gather(task, halted, return_exceptions=True)


async def stop_when_halted(child: Child, halt: asyncio.Event) -> None:
    await halt.wait()
    child.say({"type": "stop"})

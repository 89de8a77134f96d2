"""One job's supervisor: claim in hand, it fills the work folder, runs the child, and turns its lines into rows.

No transaction waits for the child or for storage. Every write begins by holding the lease; a supervisor that finds
itself fenced kills its child and publishes nothing.
"""

import asyncio
import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import events, leases
from fettle.db import DATABASE_AWAY
from fettle.devices import Slot
from fettle.errors import Fenced, TrainingFailed
from models import Job
from worker import publishing, workfolder
from worker.children import Child, Nursery, describe_exit
from worker.ledger import write
from worker.workfolder import Held

log = structlog.get_logger()

FLUSH_SECONDS = 0.25  # metrics reach the database in batches


class Died(Exception):
    """The child ended without a word; another attempt may go better."""


class Drained(Exception):
    """The worker is stopping and the child has left a checkpoint."""


async def supervise(held: Held, nursery: Nursery, slot: Slot, job: Job, stopping: asyncio.Event) -> None:
    """Runs one claimed job to whatever end it has. Never raises for the job's own troubles."""
    folder = workfolder.path(held, job)
    lease = asyncio.create_task(keep_lease(held, job))
    work = asyncio.create_task(carry_out(held, nursery, slot, job, folder, stopping))
    try:
        await asyncio.wait({lease, work}, return_when=asyncio.FIRST_COMPLETED)
        if lease.done():
            work.cancel()  # the child dies with its task
            await asyncio.wait({work})
            await lease
        try:
            await work
        except Fenced:
            raise
        except Exception as error:
            await settle(held, job, folder, error, planned=stopping.is_set())
    except Fenced:
        log.info("fenced", job_id=job.id, fence=job.fence)
    finally:
        lease.cancel()
        await asyncio.wait({lease})
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()  # unless the job is being run again


async def settle(held: Held, job: Job, folder: Path, error: Exception, *, planned: bool) -> None:
    """Writes down how a run ended that did not succeed; a planned stop is nobody's fault. Raises Fenced."""
    limit = held.settings.max_attempts
    if isinstance(error, TrainingFailed):
        await write(held, job, lambda s, row: leases.fail(s, row, error.code, error.message, error.param))
    elif isinstance(error, Drained):
        why = "The worker is stopping"
        await write(held, job, lambda s, row: leases.give_back(s, row, why, max_attempts=limit, counted=False))
    else:
        log.error("run_lost", job_id=job.id, exc_info=None if isinstance(error, Died) else error)
        why = str(error) if isinstance(error, Died) else f"The worker could not go on ({type(error).__name__})"
        tail = workfolder.log_tail(folder)

        def change(session: AsyncSession, row: Job) -> None:
            if tail:
                events.add(session, job.id, "Last lines of the training log", level="warn", data={"log": tail})
            leases.give_back(session, row, why, max_attempts=limit, counted=not planned)

        await write(held, job, change)
    log.info("run_ended", job_id=job.id, fence=job.fence, why=f"{type(error).__name__}: {error}")


async def keep_lease(held: Held, job: Job) -> None:
    """Ends by raising Fenced: when another owns the job, or when the lease could not be renewed in time."""
    settings = held.settings
    renewed = time.monotonic()
    while True:
        await asyncio.sleep(settings.watch_seconds)
        try:
            async with asyncio.timeout(settings.heartbeat_seconds):  # a hanging database must not hide a lost lease
                if time.monotonic() - renewed >= settings.heartbeat_seconds:
                    async with held.db.transaction() as session:
                        await leases.renew(session, job.id, job.fence, settings.lease_seconds)
                    renewed = time.monotonic()
                else:
                    async with held.db.snapshot() as session:
                        await leases.check(session, job.id, job.fence)
        except DATABASE_AWAY as error:
            log.warning("database_away", job_id=job.id, error=type(error).__name__)
            if time.monotonic() - renewed > settings.lease_seconds:
                raise Fenced(job.id) from error


async def carry_out(held: Held, nursery: Nursery, slot: Slot, job: Job, folder: Path, stopping: asyncio.Event) -> None:
    """Returns when the job is published. Raises TrainingFailed, Died, Drained or Fenced."""
    await workfolder.prepare(held, job, folder)
    child = await nursery.start(folder, slot)
    stop = asyncio.create_task(stop_with_worker(held, child, stopping))
    try:
        done = await relay(held, job, folder, child)
    finally:
        stop.cancel()
        await child.kill()
    await publishing.publish(held, job, folder / done["path"], done)


async def stop_with_worker(held: Held, child: Child, stopping: asyncio.Event) -> None:
    await stopping.wait()
    child.say({"type": "stop"})
    await asyncio.sleep(held.settings.drain_seconds)
    await child.kill()


async def relay(held: Held, job: Job, folder: Path, child: Child) -> dict[str, Any]:
    """Turns the child's lines into rows until it is done; returns its last line."""
    pending: list[dict[str, Any]] = []
    flushed = time.monotonic()
    first: tuple[int, float] | None = None  # the first step that we saw, and when
    end: dict[str, Any] | None = None
    async for line in child.lines(pause=FLUSH_SECONDS):
        match line:
            case {"type": "event" | "metrics"}:
                pending.append(line)
            case {"type": "checkpoint"}:
                await flush(held, job, pending, None)
                await publishing.publish_checkpoint(held, job, folder / line["path"], line)
                await asyncio.to_thread(shutil.rmtree, folder / line["path"])
            case {"type": "evaluation"}:
                await flush(held, job, pending, None)
                await publishing.publish_evaluation(held, job, line["data"])
            case {"type": "done" | "stopped" | "error"}:
                end = line
        if pending and (line is None or time.monotonic() - flushed > FLUSH_SECONDS):
            step, total = progress(pending)
            flushed = time.monotonic()
            if total and first is None:
                first = step, flushed
            await flush(held, job, pending, finish_time(first, (step, flushed), total))
    await flush(held, job, pending, None)
    code = await child.exit_code()
    match end:
        case {"type": "done"}:
            return end
        case {"type": "stopped"}:
            raise Drained
        case {"type": "error"}:
            raise TrainingFailed(end["code"], end["message"], end.get("param"))
    raise Died(describe_exit(code))


def finish_time(first: tuple[int, float] | None, now: tuple[int, float], total: int) -> float | None:
    """When the last step will be done, at the pace since the first one; None until there is a pace."""
    if first is None or now[0] <= first[0]:
        return None
    pace = (now[1] - first[1]) / (now[0] - first[0])
    return time.time() + pace * (total - now[0])


def progress(lines: list[dict[str, Any]]) -> tuple[int, int]:
    """(step, total steps) of the newest metrics line; (0, 0) without one."""
    for line in reversed(lines):
        if line["type"] == "metrics":
            return line["step"], line["total_steps"]
    return 0, 0


async def flush(held: Held, job: Job, pending: list[dict[str, Any]], estimated_finish: float | None) -> None:
    """Empties `pending` into the database."""
    if not pending:
        return

    def change(session: AsyncSession, row: Job) -> None:
        for line in pending:
            add_event(session, job.id, line)
        row.estimated_finish = estimated_finish or row.estimated_finish

    await write(held, job, change)
    pending.clear()


def add_event(session: AsyncSession, job_id: str, line: dict[str, Any]) -> None:
    if line["type"] == "event":
        events.add(session, job_id, line["message"], level=line["level"], data=line.get("data"))
        return
    step, total, values = line["step"], line["total_steps"], line["data"]
    shown = ", ".join(f"{name.replace('_', ' ')}={values[name]:.4f}" for name in SHOWN if name in values)
    data = {"step": step, "total_steps": total, **values}
    events.add(session, job_id, f"Step {step}/{total}: {shown}", type="metrics", data=data)


SHOWN = ("train_loss", "train_mean_token_accuracy", "valid_loss", "valid_mean_token_accuracy")

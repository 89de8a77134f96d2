"""A node of a gang beside the first: it runs ranks of a job that the worker of the first node has claimed.

    python -m worker.ray.member JOB FENCE ENDPOINT NODES NUMBER

It fetches the job's files by itself, and neither renews the lease nor stores anything. It ends when that claim does,
and with status 1 when its ranks die.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import DATABASE_AWAY
from fettle.errors import Fenced, TrainingFailed
from fettle.host import data_folder, devices, users
from fettle.host.devices import Gang, Slot
from fettle.jobs import events, leases
from fettle.observability.causes import in_words
from fettle.observability.logs import configure
from fettle.settings import Settings
from models import Job, JobStatus
from worker import environment
from worker.attempts.attempt import Attempt, until_database_answers
from worker.attempts.resources import Resources, opened
from worker.jobs import work_folder
from worker.jobs.supervisor import clear_away
from worker.jobs.training_process import ProcessLauncher, describe_exit
from worker.training.process.channel import LOST_RANK

log = structlog.get_logger()

PAUSE = 60.0  # seconds; nothing is done when ranks say nothing


def main(job_id: str, fence: int, gang: Gang) -> None:
    users.conceal()
    settings = Settings()
    data_folder.prepare(settings.data)
    configure(settings)
    slot = replace(devices.slots(settings, devices.visible())[0], gang=gang)
    threads = environment.threads_per_slot(settings.threads, 1)
    resources = opened(settings, threads)
    environment.scrub(threads)  # after this line no child can inherit a secret
    status = 1
    try:
        status = asyncio.run(serve(resources, ProcessLauncher(warm=False), slot, job_id, fence))
    finally:
        os._exit(status)  # nothing that hangs holds up the end


async def serve(resources: Resources, launcher: ProcessLauncher, slot: Slot, job_id: str, fence: int) -> int:
    """The exit status."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    told = asyncio.create_task(stopping.wait())
    claim = asyncio.create_task(claimed(resources, job_id, fence))
    await asyncio.wait({told, claim}, return_when=asyncio.FIRST_COMPLETED)
    job = claim.result() if claim.done() else None
    if job is None:
        log.info("nothing_to_do", job_id=job_id)
        return 0
    assert slot.gang is not None  # noqa: S101 — main gave it one
    attempt = Attempt(resources, job, slot.gang.number)
    folder = work_folder.path(attempt)
    over = asyncio.create_task(claim_over(attempt))
    ranks = asyncio.create_task(run_ranks(attempt, launcher, slot, folder))
    await asyncio.wait({told, over, ranks}, return_when=asyncio.FIRST_COMPLETED)
    failed = ranks.done()
    if failed and (error := ranks.exception()) is not None and not isinstance(error, Fenced):
        log.error("ranks_not_run", job_id=job_id, exc_info=error)
    ranks.cancel()  # the child dies with its task
    await asyncio.wait({ranks})
    await clear_away(folder)
    return int(failed)


async def claimed(resources: Resources, job_id: str, fence: int) -> Job | None:
    """The job, once the first node's worker has claimed it; None when it does not wait for that any more."""

    async def look() -> Job | None:
        async with resources.db.snapshot() as session:
            return await session.get(Job, job_id)

    while True:
        job = await until_database_answers(look)
        if job is not None and (job.status, job.fence) == (JobStatus.RUNNING, fence):
            return job
        if job is None or (job.status, job.fence) != (JobStatus.QUEUED, fence - 1):
            return None
        await asyncio.sleep(resources.settings.watch_seconds)


async def claim_over(attempt: Attempt) -> None:
    """Returns when the job is no longer the first node's."""
    while True:
        try:
            async with attempt.resources.db.snapshot() as session:
                await leases.check(session, attempt.job.id, attempt.job.fence)
        except Fenced:
            return
        except DATABASE_AWAY as error:
            log.warning("database_away", cause=in_words(error))
        await asyncio.sleep(attempt.settings.watch_seconds)


async def run_ranks(attempt: Attempt, launcher: ProcessLauncher, slot: Slot, folder: Path) -> None:
    """Returns when the ranks have failed. If they end well, it waits for the end of the claim."""
    try:
        await work_folder.prepare(attempt, folder)
        child = await launcher.start(folder, slot)
        try:
            said = [line async for line in child.lines(PAUSE) if line is not None]
            code = await child.exit_code()
        finally:
            await child.kill()
    except TrainingFailed as error:
        await note(attempt, error.message)
        return
    if code == 0:
        await asyncio.Event().wait()
    elif code != LOST_RANK:  # of which the first node tells
        await note(attempt, next((line["message"] for line in said if line["type"] == "error"), describe_exit(code)))
        print(json.dumps(work_folder.log_tail(folder)), file=sys.stderr)


async def note(attempt: Attempt, why: str) -> None:
    """Tells the job what happened here. The first node ends the attempt."""

    def change(session: AsyncSession, row: Job) -> Any:
        events.add(session, row.id, f"Node {attempt.node + 1} of this job: {why}", level="warn")

    await attempt.write(change)


if __name__ == "__main__":
    job_id, fence, endpoint, nodes, number = sys.argv[1:]
    main(job_id, int(fence), Gang(endpoint, int(nodes), int(number)))

"""Events are committed in the order of their `seq`, so that a stream which reads on from the last one misses none."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fettle.db import Database
from fettle.errors import Conflict, Fenced
from fettle.jobs import events, leases, lifecycle
from models import Job, JobStatus, Project
from tests.fettle import given

Writer = Callable[[Database, Job], Awaitable[object]]


async def cancel(db: Database, job: Job) -> None:
    async with db.transaction() as session:
        await lifecycle.cancel(session, job.project_id, job.id)


async def report(db: Database, job: Job) -> None:
    async with db.transaction() as session:
        await leases.hold(session, job.id, job.fence)
        events.add(session, job.id, "another step")


async def reclaim(db: Database, job: Job) -> None:
    async with db.transaction() as session:
        await leases.reclaim_expired(session, 3)


async def told(db: Database, job: Job, seq: int) -> list[tuple[int, str]]:
    async with db.snapshot() as session:
        return [(event.seq, event.message) for event in await events.since(session, job.id, seq)]


@pytest.mark.parametrize("writer", [cancel, report, reclaim])
async def test_nobody_overtakes_an_event_that_is_not_yet_committed(
    db: Database, project: Project, writer: Writer
) -> None:
    job = await given.claimed(db, project, lease_seconds=-1)
    before = await told(db, job, 0)
    written = asyncio.Event()

    async def slowly() -> None:
        async with db.transaction() as session:
            await leases.hold(session, job.id, job.fence)
            events.add(session, job.id, "a slow step")
            await session.flush()  # its seq is taken
            written.set()
            await asyncio.sleep(0.3)

    async def meanwhile() -> None:
        await written.wait()
        await writer(db, job)

    slow, quick = asyncio.create_task(slowly()), asyncio.create_task(meanwhile())
    seq, seen = before[-1][0], []
    async with asyncio.timeout(60):
        while not (slow.done() and quick.done()):
            for at, message in await told(db, job, seq):  # as a stream does
                seq = at
                seen.append(message)
            await asyncio.sleep(0.01)
        await asyncio.gather(slow, quick)
    seen += [message for _, message in await told(db, job, seq)]
    everything = [message for _, message in await told(db, job, before[-1][0])]
    assert seen == everything
    assert seen[0] == "a slow step"


async def test_a_cancelled_job_takes_no_more_events_from_its_worker(db: Database, project: Project) -> None:
    job = await given.claimed(db, project)
    await cancel(db, job)
    with pytest.raises(Fenced):
        await report(db, job)
    with pytest.raises(Conflict):
        await cancel(db, job)
    assert (await given.read(db, job)).status == JobStatus.CANCELLED

"""How long jobs held their slots, with moments that the test sets."""

import pytest
from sqlalchemy import select, update

from fettle.db import Database, database_now
from fettle.jobs import leases, lifecycle, runs
from models import Job, Project, Run
from tests.fettle import given


async def set_run(db: Database, job: Job, began_ago: float, ended_ago: float | None = None, gpus: int = 0) -> None:
    """Moves the moments of a job's run."""
    ended = None if ended_ago is None else database_now() - ended_ago
    async with db.transaction() as session:
        this = update(Run).where(Run.job_id == job.id, Run.fence == job.fence)
        await session.execute(this.values(started_at=database_now() - began_ago, ended_at=ended, gpus=gpus))


async def used(db: Database) -> dict[str, float]:
    async with db.snapshot() as session:
        return await runs.used(session)


async def lasted(db: Database, job: Job) -> float | None:
    """Seconds; None: the run is still open."""
    async with db.transaction() as session:
        await runs.close(session)
    async with db.snapshot() as session:
        statement = select(Run.ended_at - Run.started_at).where(Run.job_id == job.id, Run.fence == job.fence)
        return await session.scalar(statement)


class TestUsed:
    async def test_the_last_hour_counts_and_each_gpu(self, db: Database, project: Project) -> None:
        other = await given.stranger(db)
        for began, ended, gpus in ((3900, 3300, 0), (900, 600, 2), (100, None, 1)):
            await set_run(db, await given.claimed(db, project), began, ended, gpus)
        await set_run(db, await given.claimed(db, other), 9000, 4000)
        # (3600 − 3300) + (900 − 600) × 2 + 100; the other project's run ended before the hour
        assert await used(db) == {project.id: pytest.approx(1000, abs=5)}


class TestClose:
    async def test_a_run_is_open_while_its_job_holds_the_slot(self, db: Database, project: Project) -> None:
        assert await lasted(db, await given.claimed(db, project)) is None

    async def test_it_ends_when_the_job_went_back_to_the_queue(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        await set_run(db, job, 50)
        async with db.transaction() as session:
            leases.release(session, await leases.hold(session, job.id, job.fence), "Stopped", max_attempts=3)
        assert await lasted(db, job) == pytest.approx(50, abs=5)
        again = await given.claim(db)
        assert again is not None
        assert await lasted(db, again) is None

    async def test_it_ends_with_the_job_however_late_that_is_noticed(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        async with db.transaction() as session:
            await lifecycle.cancel(session, project.id, job.id)
        await set_run(db, job, 500)
        async with db.transaction() as session:
            (await session.get_one(Job, job.id)).finished_at = (await session.scalar(select(database_now())) or 0) - 200
        assert await lasted(db, job) == pytest.approx(300, abs=5)

    async def test_a_worker_that_died_at_night_held_its_slot_until_its_lease_ran_out(
        self, db: Database, project: Project
    ) -> None:
        job = await given.claimed(db, project)
        await set_run(db, job, 8 * 3600)
        async with db.transaction() as session:
            await session.execute(update(Job).values(lease_until=database_now() - 7 * 3600))
        async with db.transaction() as session:
            assert await leases.reclaim_expired(session, 3) == [job.id]
        assert await lasted(db, job) == pytest.approx(3600, abs=5)

    async def test_it_ends_at_the_latest_when_another_job_starts(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        async with db.transaction() as session:
            await lifecycle.cancel(session, project.id, job.id)
        await given.claimed(db, project)
        async with db.snapshot() as session:
            ended = await session.scalar(select(Run.ended_at.is_not(None)).where(Run.job_id == job.id))
        assert ended

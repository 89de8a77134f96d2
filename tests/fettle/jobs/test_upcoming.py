from fettle.db import Database
from fettle.jobs import leases, upcoming
from fettle.jobs.placement import CLASSES
from fettle.jobs.upcoming import State
from fettle.tenancy import quotas
from models import JobStatus, Project
from tests.fettle import given


async def first(db: Database, count: int, **limits: int) -> list[str]:
    async with db.transaction() as session:
        return [each.id for each in await upcoming.first(session, {**quotas.UNLIMITED, **limits}, count)]


async def test_the_first_jobs_come_in_the_order_in_which_workers_would_claim_them(
    db: Database, project: Project
) -> None:
    later = await given.job(db, project)
    urgent = await given.job(db, project, priority=CLASSES["high"])
    await given.job(db, project)
    assert await first(db, 2) == [urgent.id, later.id]


async def test_no_more_come_than_the_project_may_run_together(db: Database, project: Project) -> None:
    await given.claimed(db, project)
    jobs = [await given.job(db, project) for _ in range(3)]
    assert await first(db, 8, running_jobs=3) == [job.id for job in jobs[:2]]
    assert await first(db, 8, running_jobs=1) == []


async def test_a_state_has_the_fence_that_a_claim_moves_on(db: Database, project: Project) -> None:
    job = await given.job(db, project)
    async with db.transaction() as session:
        assert await upcoming.states(session, [job.id, "ftjob-none"]) == {job.id: State(JobStatus.QUEUED, 0)}
        await leases.claim(session, "worker", 60)
        assert await upcoming.states(session, [job.id]) == {job.id: State(JobStatus.RUNNING, 1)}

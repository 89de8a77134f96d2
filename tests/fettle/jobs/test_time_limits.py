"""Limits on how long jobs may run, with runs whose beginning the test moves back."""

from typing import Any

import pytest

from fettle.db import Database
from fettle.errors import QuotaExceeded
from fettle.jobs import leases, lifecycle, runs, time_limits, waiting, workers
from fettle.settings import Settings
from fettle.tenancy import quotas
from models import Job, JobStatus, Project
from tests.fettle import given
from tests.fettle.jobs.test_runs import set_run
from tests.fettle.jobs.test_workers import row

HOUR = 3600


async def ran(db: Database, project: Project, hours: float, gpus: int = 0, **columns: Any) -> Job:
    """A job that has been running for so long."""
    await given.job(db, project, **columns)
    job = await given.claim(db)
    assert job is not None
    await set_run(db, job, hours * HOUR + 10, gpus=gpus)
    return job


async def enforce(db: Database, **limits: int) -> list[str]:
    async with db.transaction() as session:
        return await time_limits.enforce(session, {**quotas.UNLIMITED, **limits})


class TestOfAJob:
    @pytest.mark.parametrize(
        ("limits", "hours", "gpus", "why"),
        [
            (None, 100, 8, None),
            ({"hours": 2}, 1.9, 8, None),
            ({"hours": 2}, 2, 0, "The job has run for the 2 h that its limit 'hours' allows."),
            ({"gpu_hours": 8}, 1.9, 4, None),  # 1.9 h × 4 GPUs = 7.6
            ({"gpu_hours": 8}, 2, 4, "The job has used the 8 GPU-hours that its limit 'gpu_hours' allows."),
            ({"gpu_hours": 2}, 2, 0, "The job has used the 2 GPU-hours that its limit 'gpu_hours' allows."),
        ],
    )
    async def test_it_fails_when_its_runs_reach_its_limit(
        self, db: Database, project: Project, limits: dict[str, float] | None, hours: float, gpus: int, why: str | None
    ) -> None:
        job = await ran(db, project, hours, gpus, limits=limits)
        assert await enforce(db) == ([job.id] if why else [])
        after = await given.read(db, job)
        assert after.status == (JobStatus.FAILED if why else JobStatus.RUNNING)
        if why:
            assert (after.error or {})["code"] == time_limits.REACHED
            assert (after.error or {})["message"] == f"{why} {time_limits.WAY_OUT}"

    async def test_earlier_attempts_count_and_waiting_does_not(self, db: Database, project: Project) -> None:
        job = await ran(db, project, 1.5, limits={"hours": 2})
        async with db.transaction() as session:
            leases.release(session, await leases.hold(session, job.id, job.fence), "Stopped", max_attempts=3)
        async with db.transaction() as session:
            await runs.close(session)
        assert await enforce(db) == []
        again = await given.claim(db)
        assert again is not None
        assert await enforce(db) == []
        await set_run(db, again, 0.5 * HOUR)
        assert await enforce(db) == [job.id]

    async def test_its_project_may_limit_every_job(self, db: Database, project: Project) -> None:
        job = await ran(db, project, 5)
        assert await enforce(db, job_hours=6) == []
        assert await enforce(db, job_hours=5) == [job.id]
        assert "quota 'job_hours'" in (await given.messages(db, job))[-1]


class TestOfAProject:
    async def test_its_jobs_pause_start_no_more_and_are_refused(self, db: Database, project: Project) -> None:
        other = await given.stranger(db)
        job, theirs = await ran(db, project, 3, 2), await ran(db, other, 5.9)
        assert await enforce(db, gpu_hours=6) == [job.id]
        assert await enforce(db, gpu_hours=6) == []
        assert (await given.messages(db, job))[-1] == (
            "The project has used the 6 GPU-hours that its quota 'gpu_hours' allows in 30 days. "
            "The job will save a checkpoint and pause."
        )
        assert (await given.read(db, theirs)).pause_requested_at is None
        async with db.snapshot() as session:
            assert await leases.check(session, job.id, job.fence)
        defaults = {**quotas.UNLIMITED, "gpu_hours": 6}
        waits = await given.job(db, project)
        async with db.transaction() as session:
            await workers.announce(session, row(slots=3))
            assert await leases.claim(session, "host:1:2", 60, defaults) is None
        async with db.snapshot() as session:
            queue = await waiting.queue(session, Settings(_env_file=None, quota_gpu_hours=6))
        assert (queue.explain(waits).reason, "6 GPU-hours" in queue.explain(waits).message) == ("quota", True)
        with pytest.raises(QuotaExceeded, match="6 GPU-hours within 30 days of the 6"):
            async with db.transaction() as session:
                await quotas.admit_job(session, project.id, defaults)

    async def test_what_is_older_than_thirty_days_counts_no_more(self, db: Database, project: Project) -> None:
        job = await ran(db, project, 0)
        await set_run(db, job, 31 * 24 * HOUR, 30 * 24 * HOUR - 2 * HOUR)  # two of its hours are within
        async with db.transaction() as session:
            await lifecycle.cancel(session, project.id, job.id)
        async with db.snapshot() as session:
            used = await quotas.gpu_seconds(session, [project.id])
        assert used == {project.id: pytest.approx(2 * HOUR, abs=5)}

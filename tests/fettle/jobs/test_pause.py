import asyncio
import time

import pytest

from fettle.db import Database
from fettle.errors import Conflict, Fenced, NotFound
from fettle.jobs import leases, lifecycle
from models import Job, JobStatus, Project
from tests.fettle import given

REQUESTED = "Pause requested. The job will save a checkpoint and pause."


async def pause(db: Database, job: Job) -> Job:
    async with db.transaction() as session:
        return await lifecycle.pause(session, job.project_id, job.id)


async def resume(db: Database, job: Job, *, retry: bool = False) -> tuple[Job, bool]:
    async with db.transaction() as session:
        return await lifecycle.resume(session, job.project_id, job.id, retry=retry)


async def release(db: Database, job: Job, *, counted: bool, max_attempts: int = 3) -> Job:
    async with db.transaction() as session:
        row = await leases.hold(session, job.id, job.fence)
        leases.release(session, row, "The child died", max_attempts=max_attempts, counted=counted)
    return await given.read(db, job)


class TestPause:
    async def test_a_waiting_job_is_paused_at_once_and_never_claimed(self, db: Database, project: Project) -> None:
        job = await given.job(db, project)
        assert (await pause(db, job)).status == JobStatus.PAUSED
        assert await given.claim(db) is None
        assert (await given.messages(db, job))[-1] == "Fine-tuning job paused"

    async def test_a_running_one_goes_on_until_its_worker_hears_of_it(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        async with db.snapshot() as session:
            assert not await leases.check(session, job.id, job.fence)
        paused = await pause(db, job)
        assert (paused.status, paused.fence) == (JobStatus.RUNNING, job.fence)
        assert paused.pause_requested_at == pytest.approx(time.time(), abs=60)
        async with db.snapshot() as session:
            assert await leases.check(session, job.id, job.fence)

    async def test_twice_is_as_good_as_once(self, db: Database, project: Project) -> None:
        running = await given.claimed(db, project)
        waiting = await given.job(db, project)
        for job, message in ((waiting, "Fine-tuning job paused"), (running, REQUESTED)):
            first = await pause(db, job)
            second = await pause(db, job)
            assert (first.status, first.pause_requested_at) == (second.status, second.pause_requested_at)
            assert (await given.messages(db, job)).count(message) == 1

    @pytest.mark.parametrize("status", given.ENDED)
    async def test_what_has_ended_can_be_neither_paused_nor_resumed(
        self, db: Database, project: Project, status: JobStatus
    ) -> None:
        job = await given.job(db, project, status=status)
        for move, name in ((pause, "paused"), (resume, "resumed")):
            with pytest.raises(Conflict, match=rf"already {status}\. It cannot be {name}") as refused:
                await move(db, job)
            assert (refused.value.code, refused.value.retry) == ("job_not_active", False)

    @pytest.mark.parametrize("code", ["worker_lost", "disk_full", "storage_refused"])
    async def test_a_job_that_failed_by_no_fault_of_its_own_is_resumed_with_all_its_attempts(
        self, db: Database, project: Project, code: str
    ) -> None:
        failed = {"status": JobStatus.FAILED, "error": {"code": code}, "attempts": 3, "deaths": 3}
        job = await given.job(db, project, **failed, finished_at=time.time() - 60)
        row, _ = await resume(db, job)
        assert (row.status, row.error, row.finished_at) == (JobStatus.QUEUED, None, None)
        assert (row.attempts, row.deaths) == (0, 0)
        assert (await given.messages(db, job))[-1].startswith(f"Fine-tuning job resumed after it failed with {code}")

    async def test_what_a_resume_needs_is_kept_for_days_and_its_files_must_be_there(
        self, db: Database, project: Project
    ) -> None:
        failed = {"status": JobStatus.FAILED, "error": {"code": "worker_lost"}}
        old = await given.job(db, project, **failed, finished_at=time.time() - 8 * 24 * 3600)
        bare = await given.job(db, project, **failed, finished_at=time.time(), training_file="file-gone")
        for job, words in ((old, "more than 7 days ago"), (bare, "'file-gone' was deleted")):
            with pytest.raises(Conflict, match=words) as refused:
                await resume(db, job)
            assert refused.value.code == "job_not_resumable"

    async def test_another_tenants_job_does_not_exist(self, db: Database, project: Project) -> None:
        job = await given.job(db, project)
        stranger = await given.stranger(db)
        async with db.transaction() as session:
            for move in (lifecycle.pause, lifecycle.resume):
                with pytest.raises(NotFound, match=job.id):
                    await move(session, stranger.id, job.id)
        assert (await given.read(db, job)).status == JobStatus.QUEUED


class TestResume:
    async def test_a_paused_job_waits_again(self, db: Database, project: Project) -> None:
        job = await given.job(db, project, status=JobStatus.PAUSED)
        resumed, waits = await resume(db, job)
        assert (resumed.status, waits) == (JobStatus.QUEUED, True)
        claimed = await given.claim(db)
        assert claimed is not None
        assert claimed.id == job.id

    async def test_a_pause_that_is_only_requested_is_withdrawn(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        await pause(db, job)
        resumed, waits = await resume(db, job)
        assert (resumed.status, resumed.pause_requested_at, waits) == (JobStatus.RUNNING, None, False)
        assert (await given.messages(db, job))[-1] == "Pause request cancelled"
        assert (await release(db, job, counted=False)).status == JobStatus.QUEUED

    async def test_what_was_never_paused_is_a_conflict_unless_the_client_repeats_itself(
        self, db: Database, project: Project
    ) -> None:
        job = await given.job(db, project)
        with pytest.raises(Conflict, match=r"is queued\. Only a paused job can be resumed") as refused:
            await resume(db, job)
        assert refused.value.code == "job_not_paused"
        again, waits = await resume(db, job, retry=True)
        assert (again.status, waits) == (JobStatus.QUEUED, False)


class TestTheWorkersSide:
    async def test_a_halted_run_is_paused_and_uses_up_no_attempt(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        await given.change(db, job, estimated_finish=time.time() + 60)
        await pause(db, job)
        stored = await release(db, job, counted=False)
        assert (stored.status, stored.attempts) == (JobStatus.PAUSED, 0)
        assert (stored.owner, stored.lease_until, stored.pause_requested_at) == (None, None, None)
        assert stored.estimated_finish is None
        assert stored.fence == job.fence + 1
        assert (await given.messages(db, job))[-2:] == [REQUESTED, "Fine-tuning job paused"]
        with pytest.raises(Fenced):
            await release(db, job, counted=True)

    async def test_a_silent_workers_job_is_paused_when_that_was_asked_for(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project, "silent", 0.01)
        await pause(db, job)
        await asyncio.sleep(0.1)
        async with db.transaction() as session:
            assert await leases.reclaim_expired(session, 3) == [job.id]
        stored = await given.read(db, job)
        assert (stored.status, stored.attempts) == (JobStatus.PAUSED, 1)
        assert (await given.messages(db, job))[-2:] == ["The worker stopped responding", "Fine-tuning job paused"]
        assert await given.claim(db) is None

    async def test_a_third_death_is_the_last_all_the_same(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        await pause(db, job)
        stored = await release(db, job, counted=True, max_attempts=1)
        assert (stored.status, stored.pause_requested_at) == (JobStatus.FAILED, None)

    async def test_a_cancel_forgets_the_pause(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        await pause(db, job)
        async with db.transaction() as session:
            await lifecycle.cancel(session, project.id, job.id)
        stored = await given.read(db, job)
        assert (stored.status, stored.pause_requested_at) == (JobStatus.CANCELLED, None)

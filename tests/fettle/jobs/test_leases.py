import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from fettle.db import Database
from fettle.errors import Conflict, Fenced
from fettle.jobs import events, leases, lifecycle
from fettle.registry.catalog import BUILT_IN
from fettle.settings import Settings
from fettle.storage import LocalStorage
from models import Event, Job, JobStatus, Project, TunedModel
from tests.fettle import given
from worker.attempts.attempt import Attempt
from worker.attempts.resources import Resources
from worker.jobs import publishing

TINY = 0.05  # seconds; a lease that has run out by the time that LATER is over
LATER = 0.15
TERMINAL_MESSAGES = ("The job has successfully completed", "Fine-tuning job cancelled")


async def last_event(db: Database, job: Job) -> Event:
    async with db.snapshot() as session:
        rows, _ = await events.newest(session, job.id, after=None, limit=1)
        return rows[0]


async def reclaim(db: Database, max_attempts: int = 3) -> list[str]:
    async with db.transaction() as session:
        return list(await leases.reclaim_expired(session, max_attempts))


async def release(db: Database, job: Job, *, counted: bool = True, max_attempts: int = 3) -> Job:
    async with db.transaction() as session:
        row = await leases.hold(session, job.id, job.fence)
        leases.release(session, row, "The child died", max_attempts=max_attempts, counted=counted)
    return row


async def renew(db: Database, job: Job, lease_seconds: float = 60) -> None:
    async with db.transaction() as session:
        await leases.renew(session, job.id, job.fence, lease_seconds)


async def write(db: Database, job: Job, message: str) -> None:
    async with db.transaction() as session:
        await leases.hold(session, job.id, job.fence)
        events.add(session, job.id, message)


async def check(db: Database, job: Job) -> None:
    async with db.snapshot() as session:
        await leases.check(session, job.id, job.fence)


async def assert_powerless(db: Database, job: Job) -> None:
    """A worker with this fence can do nothing any more, and changes nothing by trying."""
    before = await given.read(db, job)
    for attempt in (renew(db, job), write(db, job, "from the dead"), check(db, job)):
        with pytest.raises(Fenced, match=job.id):
            await attempt
    after = await given.read(db, job)
    assert (after.status, after.fence, after.lease_until) == (before.status, before.fence, before.lease_until)
    assert (await last_event(db, job)).message != "from the dead"


class TestFence:
    async def test_the_holder_may_renew_write_and_check(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project, lease_seconds=TINY)
        await renew(db, job, 60)
        await write(db, job, "alive")
        await check(db, job)
        stored = await given.read(db, job)
        assert stored.lease_until is not None
        assert stored.lease_until > (job.lease_until or 0) + 30
        assert (await last_event(db, job)).message == "alive"

    async def test_a_cancel_waits_for_a_write_under_way(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)

        async def cancel() -> None:
            async with db.transaction() as session:
                await lifecycle.cancel(session, project.id, job.id)

        async with db.transaction() as session:
            await leases.hold(session, job.id, job.fence)
            cancelling = asyncio.create_task(cancel())
            await asyncio.sleep(LATER)
            assert not cancelling.done()
        await cancelling

    async def test_after_a_cancel_nothing_is_allowed(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        async with db.transaction() as session:
            await lifecycle.cancel(session, project.id, job.id)
        await assert_powerless(db, job)

    async def test_after_the_jobs_end_nothing_is_allowed(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        async with db.transaction() as session:
            leases.fail(session, await leases.hold(session, job.id, job.fence), "nan_loss", "The loss is not a number.")
        await assert_powerless(db, job)

    async def test_a_zombie_can_do_nothing_while_its_job_waits_or_runs_elsewhere(
        self, db: Database, project: Project
    ) -> None:
        zombie = await given.claimed(db, project, "zombie", TINY)
        await asyncio.sleep(LATER)
        assert await reclaim(db) == [zombie.id]
        await assert_powerless(db, zombie)
        heir = await given.claim(db, "heir")
        assert heir is not None
        await assert_powerless(db, zombie)
        await write(db, heir, "from the heir")
        assert (await last_event(db, heir)).message == "from the heir"

    async def test_one_who_was_only_late_goes_on(self, db: Database, project: Project) -> None:
        """The lease ran out, but nobody took the job: there is nothing to protect it from."""
        job = await given.claimed(db, project, lease_seconds=TINY)
        await asyncio.sleep(LATER)
        await renew(db, job)
        assert await reclaim(db) == []


class TestGiveBack:
    async def test_a_counted_death_uses_up_an_attempt(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        await release(db, job)
        stored = await given.read(db, job)
        assert (stored.status, stored.attempts) == (JobStatus.QUEUED, 1)
        assert (stored.owner, stored.lease_until, stored.fence) == (None, None, job.fence + 1)
        event = await last_event(db, job)
        assert (event.level, event.message) == (
            "warn",
            "The child died. The job will continue from its last checkpoint.",
        )
        await assert_powerless(db, job)

    async def test_draining_never_uses_up_an_attempt(self, db: Database, project: Project) -> None:
        await given.job(db, project)
        for _ in range(5):
            job = await given.claim(db)
            assert job is not None
            await release(db, job, counted=False, max_attempts=1)
        stored = await given.read(db, job)
        assert (stored.status, stored.attempts) == (JobStatus.QUEUED, 0)

    async def test_the_third_death_is_the_last(self, db: Database, project: Project) -> None:
        await given.job(db, project)
        statuses = []
        for _ in range(3):
            job = await given.claim(db)
            assert job is not None
            statuses.append((await release(db, job)).status)
        assert statuses == [JobStatus.QUEUED, JobStatus.QUEUED, JobStatus.FAILED]
        stored = await given.read(db, job)
        message = "The child died. The job failed after 3 attempts without progress."
        assert stored.error == {"code": "worker_lost", "message": message, "param": None}
        assert stored.finished_at is not None
        assert (stored.owner, stored.lease_until, stored.pause_requested_at) == (None, None, None)
        event = await last_event(db, job)
        assert (event.level, event.message, event.data) == ("error", message, {"code": "worker_lost"})
        assert await given.claim(db) is None

    async def test_a_death_is_told_as_one_although_the_slot_was_wanted(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project)
        await given.change(db, job, preempted_for="another")
        stored = await release(db, job, max_attempts=1)
        assert stored.error is not None
        assert stored.error["message"] == "The child died. The job failed after 1 attempt without progress."


class TestReclaim:
    async def test_only_the_silent_lose_their_jobs(self, db: Database, project: Project) -> None:
        silent = await given.claimed(db, project, "silent", TINY)
        alive = await given.claimed(db, project, "alive", 60)
        waiting = await given.job(db, project)
        await asyncio.sleep(LATER)
        assert await reclaim(db) == [silent.id]
        assert await reclaim(db) == []
        assert (await given.read(db, silent)).status == JobStatus.QUEUED
        assert (await given.read(db, alive)).status == JobStatus.RUNNING
        assert (await given.read(db, waiting)).fence == 0
        assert (await last_event(db, silent)).message.startswith("The worker stopped responding. ")

    @pytest.mark.parametrize("hours", [-1, 1])
    async def test_a_reconcilers_wrong_clock_changes_nothing(
        self, db: Database, project: Project, monkeypatch: pytest.MonkeyPatch, hours: int
    ) -> None:
        expired = await given.claimed(db, project, lease_seconds=TINY)
        await given.claimed(db, project, lease_seconds=60)
        await asyncio.sleep(LATER)
        monkeypatch.setattr(leases, "time", SimpleNamespace(time=lambda: time.time() + hours * 3600))
        assert await reclaim(db) == [expired.id]

    async def test_a_job_that_kills_every_worker_is_given_up(self, db: Database, project: Project) -> None:
        poison = await given.job(db, project)
        for _ in range(3):
            assert await given.claim(db, lease_seconds=TINY) is not None
            await asyncio.sleep(LATER)
            assert await reclaim(db) == [poison.id]
        stored = await given.read(db, poison)
        assert stored.status == JobStatus.FAILED
        assert (stored.error or {})["code"] == "worker_lost"
        assert await given.claim(db) is None

    async def test_many_reconcilers_at_once_count_one_death(self, db: Database, project: Project) -> None:
        lost = [(await given.claimed(db, project, lease_seconds=TINY)).id for _ in range(3)]
        await asyncio.sleep(LATER)
        found = await asyncio.gather(*(reclaim(db) for _ in range(8)))
        assert sorted(job_id for ids in found for job_id in ids) == sorted(lost)

    async def test_a_worker_that_is_writing_at_that_moment_keeps_its_job(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project, lease_seconds=TINY)
        await asyncio.sleep(LATER)
        async with db.transaction() as session:
            await leases.renew(session, job.id, job.fence, 60)
            reconciler = asyncio.create_task(reclaim(db))
            await asyncio.sleep(LATER)
        assert await reconciler == []
        await check(db, job)


class TestPublish:
    """The worker's publishing, real rows and a real folder: what the lease is for."""

    @pytest.fixture
    def resources(self, db: Database, tmp_path: Path) -> Resources:
        return Resources(Settings(data=tmp_path), db, LocalStorage(str(tmp_path / "storage")), BUILT_IN, threads=1)

    @pytest.fixture
    def adapter(self, tmp_path: Path) -> Path:
        folder = tmp_path / "adapter"
        folder.mkdir()
        (folder / "adapter_config.json").write_text("{}")
        return folder

    async def publish(self, resources: Resources, job: Job, adapter: Path) -> None:
        await publishing.publish(Attempt(resources, job), adapter, {"trained_tokens": 10})

    async def models(self, db: Database, job: Job) -> list[str]:
        async with db.snapshot() as session:
            return list(await session.scalars(select(TunedModel.name).where(TunedModel.job_id == job.id)))

    async def test_a_zombies_late_result_is_refused_and_its_heirs_counts(
        self, db: Database, project: Project, resources: Resources, adapter: Path
    ) -> None:
        zombie = await given.claimed(db, project, "zombie", TINY)
        await asyncio.sleep(LATER)
        await reclaim(db)
        heir = await given.claim(db, "heir")
        assert heir is not None
        with pytest.raises(Fenced):
            await self.publish(resources, zombie, adapter)
        assert await self.models(db, zombie) == []
        assert (await given.read(db, zombie)).status == JobStatus.RUNNING
        await self.publish(resources, heir, adapter)
        stored = await given.read(db, heir)
        assert stored.status == JobStatus.SUCCEEDED
        assert await self.models(db, heir) == [stored.fine_tuned_model]
        async with db.snapshot() as session:
            model = await session.get_one(TunedModel, stored.fine_tuned_model)
        assert model.prefix == f"jobs/{heir.id}/{heir.fence}/adapter"

    async def test_cancel_racing_publish_ends_in_one_terminal_state(
        self, db: Database, project: Project, resources: Resources, adapter: Path
    ) -> None:
        for round_ in range(8):
            job = await given.claimed(db, project)

            async def cancel(job: Job = job, wait: float = round_ / 1000) -> None:
                await asyncio.sleep(wait)
                async with db.transaction() as session:
                    await lifecycle.cancel(session, project.id, job.id)

            cancelled, published = await asyncio.gather(
                cancel(), self.publish(resources, job, adapter), return_exceptions=True
            )
            stored = await given.read(db, job)
            ends = [cancelled is None, published is None]
            assert sum(ends) == 1, (cancelled, published)
            assert stored.status == (JobStatus.CANCELLED if cancelled is None else JobStatus.SUCCEEDED)
            assert isinstance(published if cancelled is None else cancelled, Fenced | Conflict)
            assert len(await self.models(db, job)) == ends[1]
            async with db.snapshot() as session:
                ending = select(Event.id).where(Event.job_id == job.id, Event.message.in_(TERMINAL_MESSAGES))
                assert len((await session.scalars(ending)).all()) == 1

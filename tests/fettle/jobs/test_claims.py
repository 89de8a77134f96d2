import asyncio
import time
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from fettle.db import Database, database_now
from fettle.jobs import leases, workers
from fettle.jobs.placement import Offer
from models import Job, JobStatus, Project, Worker
from tests.fettle import given
from tests.fettle.jobs.test_leases import last_event, release


class TestClaim:
    async def test_nothing_waits(self, db: Database) -> None:
        assert await given.claim(db) is None

    async def test_the_oldest_comes_first(self, db: Database, project: Project) -> None:
        made = [await given.job(db, project, created_at=at) for at in (3000.0, 1000.0, 2000.0)]
        order = [made[1].id, made[2].id, made[0].id]
        assert [job.id for _ in range(3) if (job := await given.claim(db))] == order

    async def test_a_claimed_job_is_running_under_a_new_fence(self, db: Database, project: Project) -> None:
        job = await given.claimed(db, project, "worker-7", 60)
        stored = await given.read(db, job)
        assert (stored.status, stored.owner) == (JobStatus.RUNNING, "worker-7")
        assert (stored.fence, stored.attempts) == (1, 1)
        assert (await last_event(db, job)).message == "Fine-tuning job started"

    async def test_the_lease_ends_by_the_databases_clock(
        self, db: Database, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "time", SimpleNamespace(time=lambda: time.time() + 3600))
        job = await given.claimed(db, project, lease_seconds=60)
        async with db.snapshot() as session:
            left = await session.scalar(select(Job.lease_until - database_now()).where(Job.id == job.id))
        assert left == pytest.approx(60, abs=5)

    async def test_every_attempt_moves_the_fence_on(self, db: Database, project: Project) -> None:
        first = await given.claimed(db, project)
        await release(db, first)
        second = await given.claim(db)
        assert second is not None
        assert second.fence > first.fence
        assert second.attempts == 2
        assert (await last_event(db, second)).message == "Fine-tuning job started (attempt 2)"

    async def test_only_the_first_attempt_takes_its_end_from_the_estimate(self, db: Database, project: Project) -> None:
        made = await given.job(db, project, estimate={"seconds": {"likely": 500.0, "low": 400.0, "high": 600.0}})
        first = await given.claim(db)
        assert first is not None
        assert first.estimated_finish == pytest.approx(time.time() + 500, abs=60)
        await given.change(db, made, estimated_finish=None)
        await release(db, first)
        second = await given.claim(db)
        assert second is not None
        assert second.estimated_finish is None

    async def test_many_workers_at_once_never_share_a_job(self, db: Database, project: Project) -> None:
        made = {(await given.job(db, project)).id for _ in range(8)}
        claims = await asyncio.gather(*(given.claim(db, f"worker-{n}") for n in range(16)))
        taken = [job for job in claims if job is not None]
        assert len(taken) == 8
        assert {job.id for job in taken} == made
        for job in taken:
            stored = await given.read(db, job)
            assert (stored.owner, stored.fence, stored.attempts) == (job.owner, 1, 1)

    @pytest.mark.parametrize(
        ("seen_ago", "stopping", "host", "claimed"),
        [
            (0, False, "keeper", True),
            (0, False, "other", False),
            (0, False, None, False),
            (31, False, "other", True),
            (29, False, "other", False),
            (0, True, "other", True),
            (None, False, "other", True),
        ],
        ids=["keeper", "other host", "unnamed", "keeper is dead", "keeper is late", "keeper stops", "keeper is gone"],
    )
    async def test_a_job_whose_adapter_lies_on_a_host_waits_for_a_worker_there(
        self,
        db: Database,
        project: Project,
        seen_ago: float | None,
        stopping: bool,
        host: str | None,
        claimed: bool,
    ) -> None:
        job = await given.job(db, project, kept_by="keeper")
        if seen_ago is not None:
            async with db.transaction() as session:
                now = await session.scalar(select(database_now())) or 0.0
                row = Worker(
                    id="keeper:1", host="keeper", version="1", slots=["CPU"], base_models=[], stopping=stopping
                )
                row.started_at = row.seen_at = now - seen_ago
                session.add(row)
        async with db.transaction() as session:
            found = await leases.claim(session, "w:1:0", 60, offer=Offer(host), heartbeat_seconds=10)
        assert (found is not None) == claimed
        assert (await given.read(db, job)).kept_by == (None if claimed and host == "other" else "keeper")

    async def test_a_host_without_slots_keeps_no_job_waiting(self, db: Database, project: Project) -> None:
        await given.job(db, project, kept_by="keeper")
        async with db.transaction() as session:
            row = Worker(id="keeper:1", host="keeper", version="1", slots=[], base_models=[], stopping=False)
            await workers.announce(session, row)
        async with db.transaction() as session:
            assert await leases.claim(session, "w:1:0", 60, offer=Offer("other"), heartbeat_seconds=10) is not None

    async def test_a_session_that_has_read_the_job_before_sees_it_claimed(self, db: Database, project: Project) -> None:
        made = await given.job(db, project)
        async with db.transaction() as session:
            before = await session.get_one(Job, made.id)
            assert await leases.claim(session, "worker-7", 60) is before
            assert (before.fence, before.owner) == (1, "worker-7")

    async def test_what_is_not_queued_is_never_claimed(self, db: Database, project: Project) -> None:
        for status in (*given.ENDED, JobStatus.RUNNING):
            await given.job(db, project, status=status)
        assert await given.claim(db) is None

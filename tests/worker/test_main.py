import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import Database, DatabaseAway
from fettle.jobs import leases
from models import Job, JobStatus
from worker.attempts.resources import Resources
from worker.main import reconcile

LEASE = 4.0  # seconds; a busy machine may pause a test for one or two


class Flaky(Database):
    """Away whenever the test says so."""

    away = False
    refused = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        if self.away:
            self.refused += 1
            raise DatabaseAway("connection refused")
        async with super().transaction() as session:
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        if self.away:
            self.refused += 1
            raise DatabaseAway("connection refused")
        async with super().snapshot() as session:
            yield session


class TestReconcile:
    @pytest.fixture
    async def flaky(self, resources: Resources) -> AsyncIterator[Resources]:
        """A worker that reconciles all the time, on a database that may go away."""
        settings = resources.settings.model_copy(update={"reconcile_seconds": 0.02, "lease_seconds": LEASE})
        db = Flaky(resources.settings.database)
        worker = replace(resources, db=db, settings=settings)
        task = asyncio.create_task(reconcile(worker, asyncio.Event()))
        yield worker
        assert not task.done()
        task.cancel()
        await db.close()

    async def expire(self, resources: Resources, job: Job) -> None:
        """As after an outage longer than the lease."""
        async with Database.transaction(resources.db) as session:
            await leases.renew(session, job.id, job.fence, -1)

    async def outage(self, resources: Resources, job: Job) -> None:
        """Noticed by the reconciler, and longer than the job's lease."""
        db = cast(Flaky, resources.db)
        db.away = True
        while not db.refused:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await self.expire(resources, job)
        db.away = False

    async def queued(self, resources: Resources, job: Job) -> None:
        deadline = time.monotonic() + 60
        while await self.status(resources, job) == JobStatus.RUNNING:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert await self.status(resources, job) == JobStatus.QUEUED

    async def status(self, resources: Resources, job: Job) -> JobStatus:
        async with Database.snapshot(resources.db) as session:
            return (await session.get_one(Job, job.id)).status

    async def test_a_silent_worker_loses_its_job(self, flaky: Resources, job: Job) -> None:
        await self.expire(flaky, job)
        await self.queued(flaky, job)

    async def test_after_an_outage_the_living_have_the_time_of_a_lease_to_say_so(
        self, flaky: Resources, job: Job
    ) -> None:
        await self.outage(flaky, job)
        await asyncio.sleep(0.2)  # ten turns of the reconciler
        assert await self.status(flaky, job) == JobStatus.RUNNING
        async with flaky.db.transaction() as session:
            await leases.renew(session, job.id, job.fence, 60)
        await asyncio.sleep(LEASE)
        assert await self.status(flaky, job) == JobStatus.RUNNING

    async def test_after_an_outage_the_dead_still_lose_their_jobs(self, flaky: Resources, job: Job) -> None:
        await self.outage(flaky, job)
        await self.queued(flaky, job)

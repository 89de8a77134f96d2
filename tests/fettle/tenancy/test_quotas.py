"""Quotas under many hands at once, on both databases."""

import asyncio
from collections.abc import Awaitable

import pytest

from fettle.datasets import files
from fettle.db import Database
from fettle.errors import QuotaExceeded
from fettle.jobs import leases, lifecycle
from fettle.registry.catalog import BUILT_IN
from fettle.tenancy import quotas
from models import Job, JobStatus, Project
from tests.fettle import given


async def limit(db: Database, project: Project, **limits: int | None) -> None:
    async with db.transaction() as session:
        quotas.change(await session.get_one(Project, project.id), limits, [])


async def outcomes(tries: list[Awaitable[object]]) -> tuple[int, int]:
    """How many went through, and how many met a full quota; nothing else may happen."""
    ended = await asyncio.gather(*tries, return_exceptions=True)
    refused = [end for end in ended if isinstance(end, QuotaExceeded)]
    assert [end for end in ended if isinstance(end, BaseException) and end not in refused] == []
    return len(ended) - len(refused), len(refused)


class TestAdmitJob:
    async def test_of_fifty_at_once_exactly_as_many_come_in_as_may(self, db: Database, project: Project) -> None:
        await limit(db, project, queued_jobs=5)
        wanted = given.request(await given.dataset(db, project))
        assert await outcomes([given.create(db, project, wanted) for _ in range(50)]) == (5, 45)
        assert await given.count(db, Job) == 5

    async def test_the_settings_default_holds_where_a_project_says_nothing(
        self, db: Database, project: Project
    ) -> None:
        wanted = given.request(await given.dataset(db, project))
        defaults = {**quotas.UNLIMITED, "queued_jobs": 1}

        async def create() -> None:
            async with db.transaction() as session:
                await lifecycle.create(session, project, wanted, BUILT_IN, defaults)

        assert await outcomes([create() for _ in range(3)]) == (1, 2)
        await limit(db, project, queued_jobs=None)  # no limit, said for this project
        assert await outcomes([create() for _ in range(3)]) == (3, 0)

    async def test_a_full_project_keeps_no_other_waiting(self, db: Database, project: Project) -> None:
        other = await given.stranger(db)
        await limit(db, project, queued_jobs=0)
        wanted = given.request(await given.dataset(db, other))
        assert await outcomes([given.create(db, other, wanted) for _ in range(3)]) == (3, 0)


class TestAdmitFile:
    async def test_of_twenty_at_once_exactly_as_many_come_in_as_may(self, db: Database, project: Project) -> None:
        await limit(db, project, bytes=3500)

        async def add() -> None:
            async with db.transaction() as session:
                file = files.new(project.id, "sums.jsonl", files.PURPOSE, 1000)
                await quotas.admit_file(session, project.id, file.bytes, quotas.UNLIMITED)
                session.add(file)

        assert await outcomes([add() for _ in range(20)]) == (3, 17)


class TestChange:
    async def test_back_to_the_default_and_no_limit_are_two_things(self, db: Database, project: Project) -> None:
        defaults = {**quotas.UNLIMITED, "files": 10, "tokens": 20}
        quotas.change(project, {"files": None, "tokens": 5}, [])
        assert (quotas.limits(project, defaults)["files"], quotas.limits(project, defaults)["tokens"]) == (None, 5)
        quotas.change(project, {}, ["files", "tokens"])
        assert quotas.limits(project, defaults) == defaults
        assert project.quotas is None


class TestRunningJobs:
    async def claim(self, db: Database, cap: int | None = None) -> Job | None:
        async with db.transaction() as session:
            return await leases.claim(session, "worker", 60, {**quotas.UNLIMITED, "running_jobs": cap})

    @pytest.mark.parametrize("own", [True, False], ids=["own", "default"])
    async def test_of_many_workers_at_once_no_more_run_than_may(
        self, db: Database, project: Project, own: bool
    ) -> None:
        if own:
            await limit(db, project, running_jobs=2)
        for _ in range(6):
            await given.job(db, project)
        claims = await asyncio.gather(*(self.claim(db, None if own else 2) for _ in range(12)))
        assert sum(job is not None for job in claims) == 2

    async def test_a_full_project_is_passed_over_and_goes_on_when_one_ends(
        self, db: Database, project: Project
    ) -> None:
        other = await given.stranger(db)
        await limit(db, project, running_jobs=1)
        first, second = await given.job(db, project), await given.job(db, project)
        theirs = await given.job(db, other)
        assert [job.id for _ in range(3) if (job := await self.claim(db))] == [first.id, theirs.id]
        await given.change(db, first, status=JobStatus.SUCCEEDED)
        claimed = await self.claim(db)
        assert claimed is not None
        assert claimed.id == second.id

    async def test_a_cap_of_none_at_all_keeps_a_project_waiting(self, db: Database, project: Project) -> None:
        await given.job(db, project)
        await limit(db, project, running_jobs=0)
        assert await self.claim(db) is None
        await limit(db, project, running_jobs=None)
        assert await self.claim(db, 0) is not None

    async def test_who_runs_fewest_comes_first(self, db: Database, project: Project) -> None:
        """Five jobs of one project, then one of another: it waits for one job, not for five."""
        other = await given.stranger(db)
        mine = [(await given.job(db, project)).id for _ in range(5)]
        theirs = (await given.job(db, other)).id
        order = [job.id for _ in range(6) if (job := await self.claim(db))]
        assert order == [mine[0], theirs, *mine[1:]]

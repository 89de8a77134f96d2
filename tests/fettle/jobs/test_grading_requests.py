"""Requests to grade as rows, on both databases: who gets the next one, and who may answer it."""

import asyncio
from typing import Any

import pytest

from fettle.db import Database
from fettle.errors import Unavailable
from fettle.jobs import grading_requests
from models import Grading, Project
from tests.fettle import given

REQUEST: dict[str, Any] = {"graders": [], "samples": [], "models": {}}


async def asked(db: Database, project: Project) -> str:
    async with db.transaction() as session:
        return (await grading_requests.create(session, project.id, REQUEST)).id


async def claimed(db: Database, owner: str, lease_seconds: float = 60, of_a_project: int = 9) -> Grading | None:
    async with db.transaction() as session:
        return await grading_requests.claim(
            session, owner, lease_seconds=lease_seconds, wanted_seconds=60, of_a_project=of_a_project
        )


async def answered(db: Database, grading: Grading, result: dict[str, Any]) -> Grading:
    async with db.transaction() as session:
        await grading_requests.answer(session, grading, result)
    async with db.snapshot() as session:
        return await session.get_one(Grading, grading.id)


class TestClaim:
    async def test_a_request_whose_worker_died_is_another_workers_while_somebody_still_waits(
        self, db: Database, project: Project
    ) -> None:
        await asked(db, project)
        dead = await claimed(db, "dead")
        assert dead is not None and await claimed(db, "early") is None
        async with db.transaction() as session:
            await grading_requests.renew(session, dead, -1)
        second = await claimed(db, "second")
        assert second is not None and second.id == dead.id
        assert (await answered(db, dead, {"late": True})).result is None
        assert (await answered(db, second, {"in_time": True})).result == {"in_time": True}

    async def test_a_lease_that_is_renewed_stays(self, db: Database, project: Project) -> None:
        await asked(db, project)
        grading = await claimed(db, "slow", lease_seconds=0.2)
        assert grading is not None
        async with db.transaction() as session:
            await grading_requests.renew(session, grading, 60)
        await asyncio.sleep(0.3)
        assert await claimed(db, "second") is None

    async def test_a_project_with_many_requests_keeps_no_other_waiting(self, db: Database, project: Project) -> None:
        other = await given.stranger(db)
        for _ in range(3):
            await asked(db, project)
        theirs = await asked(db, other)
        first, second = await claimed(db, "one"), await claimed(db, "two")
        assert first is not None and first.project_id == project.id
        assert second is not None and second.id == theirs

    async def test_a_worker_works_on_so_many_requests_of_one_project_and_takes_the_others_first(
        self, db: Database, project: Project
    ) -> None:
        other = await given.stranger(db)
        mine = [await asked(db, project) for _ in range(3)]
        first, second = [await claimed(db, "one", of_a_project=2) for _ in range(2)]
        assert first is not None and second is not None and [first.id, second.id] == mine[:2]
        assert await claimed(db, "one", of_a_project=2) is None
        theirs = await asked(db, other)
        third = await claimed(db, "one", of_a_project=2)
        assert third is not None and third.id == theirs
        await answered(db, first, {})
        fourth = await claimed(db, "one", of_a_project=2)
        assert fourth is not None and fourth.id == mine[2]

    async def test_another_worker_counts_its_own(self, db: Database, project: Project) -> None:
        await asked(db, project)
        await asked(db, project)
        assert await claimed(db, "one", of_a_project=1) is not None
        assert await claimed(db, "one", of_a_project=1) is None
        assert await claimed(db, "two", of_a_project=1) is not None


class TestCreate:
    async def test_a_projects_requests_that_wait_have_a_limit(
        self, db: Database, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(grading_requests, "WAITING_AT_MOST", 2)
        await asked(db, project)
        await asked(db, project)
        with pytest.raises(Unavailable, match="2 requests of this project wait"):
            await asked(db, project)
        await asked(db, await given.stranger(db))
        grading = await claimed(db, "worker")
        assert grading is not None
        await answered(db, grading, {})
        await asked(db, project)


async def test_what_was_asked_is_not_kept_once_it_is_answered(db: Database, project: Project) -> None:
    await asked(db, project)
    grading = await claimed(db, "worker")
    assert grading is not None and grading.request == REQUEST
    row = await answered(db, grading, {"printed": "a\0b"})
    assert (row.request, row.result) == ({}, {"printed": "a\0b"})

"""Requests to grade beside the jobs: a worker that works on one keeps it."""

import asyncio
from typing import Any

import pytest

from fettle.db import Database
from fettle.jobs import grading_requests
from models import Grading, Job
from tests.fettle import given
from worker import tasks
from worker.attempts.resources import Resources


async def test_a_request_that_takes_longer_than_its_lease_is_not_given_to_another_worker(
    resources: Resources, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "LEASE_SECONDS", 3.0)
    enough = asyncio.Event()

    async def slowly(*_: Any) -> dict[str, Any]:
        await enough.wait()
        return {"scores": []}

    monkeypatch.setattr(tasks, "grade", slowly)
    async with resources.db.transaction() as session:
        asked = await grading_requests.create(session, job.project_id, {})
    grading = await tasks.claim(resources, "one")
    assert grading is not None
    working = asyncio.create_task(tasks.answer(resources, grading))
    first = await lease_of(resources.db, asked.id)
    async with asyncio.timeout(60):
        while await lease_of(resources.db, asked.id) < first + 0.5:  # noqa: ASYNC110 — renewed
            await asyncio.sleep(0.05)
    assert await tasks.claim(resources, "another") is None
    enough.set()
    await working
    async with resources.db.snapshot() as session:
        assert (await session.get_one(Grading, asked.id)).result == {"scores": []}


async def test_loops_of_a_few_projects_leave_a_place_for_another(
    resources: Resources, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops = 0

    async def looping(_: Resources, request: dict[str, Any]) -> dict[str, Any]:
        nonlocal loops
        if request.get("loop"):
            loops += 1
            await asyncio.Event().wait()
        return {"scores": []}

    monkeypatch.setattr(tasks, "grade", looping)
    few = [job.project_id, *[(await given.stranger(resources.db, f"loops-{number}")).id for number in range(3)]]
    for project_id in few:
        for _ in range(4):
            await ask(resources.db, project_id, loop=True)
    asked = asyncio.Event()
    serving = asyncio.create_task(tasks.serve(resources, asked))
    try:
        async with asyncio.timeout(60):
            while loops < tasks.SHARED:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        other = await given.stranger(resources.db, "another")
        waiting = await ask(resources.db, other.id)
        asked.set()
        async with asyncio.timeout(60):
            while not await is_answered(resources.db, waiting):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def ask(db: Database, project_id: str, **request: Any) -> str:
    async with db.transaction() as session:
        return (await grading_requests.create(session, project_id, request)).id


async def lease_of(db: Database, grading_id: str) -> float:
    async with db.snapshot() as session:
        return (await session.get_one(Grading, grading_id)).lease_until or 0.0


async def is_answered(db: Database, grading_id: str) -> bool:
    async with db.snapshot() as session:
        return (await session.get_one(Grading, grading_id)).result is not None

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
    monkeypatch.setattr(tasks, "LEASE_SECONDS", 0.3)

    async def slowly(*_: Any) -> dict[str, Any]:
        await asyncio.sleep(1)
        return {"scores": []}

    monkeypatch.setattr(tasks, "grade", slowly)
    async with resources.db.transaction() as session:
        asked = await grading_requests.create(session, job.project_id, {})
    grading = await tasks.claim(resources, "one")
    assert grading is not None
    working = asyncio.create_task(tasks.answer(resources, grading))
    await asyncio.sleep(0.6)
    assert await tasks.claim(resources, "another") is None
    await working
    async with resources.db.snapshot() as session:
        assert (await session.get_one(Grading, asked.id)).result == {"scores": []}


async def test_loops_of_a_few_projects_leave_a_place_for_another(
    resources: Resources, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def looping(_: Resources, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("loop"):
            await asyncio.sleep(60)
        return {"scores": []}

    monkeypatch.setattr(tasks, "grade", looping)
    few = [job.project_id, *[(await given.stranger(resources.db, f"loops-{number}")).id for number in range(3)]]
    for project_id in few:
        for _ in range(4):
            await ask(resources.db, project_id, loop=True)
    asked = asyncio.Event()
    serving = asyncio.create_task(tasks.serve(resources, asked))
    try:
        await asyncio.sleep(0.5)
        other = await given.stranger(resources.db, "another")
        waiting = await ask(resources.db, other.id)
        asked.set()
        await asyncio.sleep(1)
        assert await is_answered(resources.db, waiting)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def ask(db: Database, project_id: str, **request: Any) -> str:
    async with db.transaction() as session:
        return (await grading_requests.create(session, project_id, request)).id


async def is_answered(db: Database, grading_id: str) -> bool:
    async with db.snapshot() as session:
        return (await session.get_one(Grading, grading_id)).result is not None

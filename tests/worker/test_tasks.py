"""Requests to grade beside the jobs: a worker that works on one keeps it."""

import asyncio
from typing import Any

import pytest

from fettle.jobs import grading_requests
from models import Grading, Job
from worker import tasks
from worker.attempts.resources import Held


async def test_a_request_that_takes_longer_than_its_lease_is_not_given_to_another_worker(
    held: Held, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "LEASE_SECONDS", 0.3)

    async def slowly(*_: Any) -> dict[str, Any]:
        await asyncio.sleep(1)
        return {"scores": []}

    monkeypatch.setattr(tasks, "graded", slowly)
    async with held.db.transaction() as session:
        asked = await grading_requests.create(session, job.project_id, {})
    grading = await tasks.claimed(held, "one")
    assert grading is not None
    working = asyncio.create_task(tasks.answer(held, grading))
    await asyncio.sleep(0.6)
    assert await tasks.claimed(held, "another") is None
    await working
    async with held.db.snapshot() as session:
        assert (await session.get_one(Grading, asked.id)).result == {"scores": []}

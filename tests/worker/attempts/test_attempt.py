import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select

from fettle.errors import Fenced, TrainingFailed
from fettle.jobs import lifecycle
from fettle.storage import Away, Refused
from models import Event
from worker.attempts.attempt import Attempt


@pytest.fixture
def quick(attempt: Attempt) -> Attempt:
    settings = attempt.settings.model_copy(update={"storage_retry_seconds": 0.01})
    return replace(attempt, resources=replace(attempt.resources, settings=settings))


async def messages(attempt: Attempt) -> list[str]:
    async with attempt.resources.db.snapshot() as session:
        return list(await session.scalars(select(Event.message).order_by(Event.seq)))


class Store:
    def __init__(self, refusals: int) -> None:
        self.refusals, self.calls = refusals, 0

    async def read(self) -> str:
        self.calls += 1
        if self.calls <= self.refusals:
            raise Away("key", "503")
        return "content"


async def test_it_asks_until_storage_answers_and_tells_the_user_once(quick: Attempt) -> None:
    store = Store(5)
    before = await messages(quick)
    assert await quick.retry(store.read) == "content"
    assert store.calls == 6
    assert (await messages(quick))[len(before) :] == [
        "Storage is not responding (key, 503). The job will continue when it is back.",
        "Storage is back. The job continues.",
    ]


async def test_storage_that_answers_is_nothing_to_talk_about(quick: Attempt) -> None:
    before = await messages(quick)
    assert await quick.retry(Store(0).read) == "content"
    assert await messages(quick) == before


async def test_a_refusal_ends_the_job_in_the_stores_words_at_once(quick: Attempt) -> None:
    calls = 0

    async def refused() -> None:
        nonlocal calls
        calls += 1
        raise Refused("jobs/a/1/adapter/x", "403 AccessDenied: the policy at http://10.0.0.1:9000 says no")

    with pytest.raises(TrainingFailed) as failed:
        await quick.retry(refused)
    assert (calls, failed.value.code) == (1, "storage_refused")
    assert failed.value.message == (
        "The storage refused the object jobs/a/1/adapter/x: 403 AccessDenied: the policy at [internal address] says "
        "no. Ask the operator to fix this, and resume the job."
    )


async def test_every_other_error_is_the_callers(quick: Attempt) -> None:
    async def broken() -> None:
        raise PermissionError("403")

    with pytest.raises(PermissionError):
        await quick.retry(broken)


async def test_a_fenced_worker_stops_waiting(quick: Attempt) -> None:
    async with quick.resources.db.transaction() as session:
        await lifecycle.cancel(session, quick.job.project_id, quick.job.id)
    with pytest.raises(Fenced):
        await asyncio.wait_for(quick.retry(Store(10**9).read), 10)

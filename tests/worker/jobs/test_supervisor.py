import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import select

from fettle.host.devices import Slot
from fettle.jobs import leases, lifecycle, preemption
from fettle.storage import Away, Storage
from models import Event, Job, JobStatus
from worker.attempts.attempt import Attempt
from worker.jobs import work_folder
from worker.jobs.supervisor import supervise
from worker.jobs.training_process import ProcessLauncher

NOBODY = cast(ProcessLauncher, None)  # these runs end before a child is needed


class Broken:
    """Storage of which only `get_file` is asked, and that fails as it is told to."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self.fail = fail

    async def get_file(self, key: str, path: Path) -> None:
        self.fail()


def with_storage(attempt: Attempt, fail: Callable[[], None]) -> Attempt:
    settings = attempt.settings.model_copy(update={"watch_seconds": 0.02, "drain_seconds": 0.2})
    return replace(
        attempt, resources=replace(attempt.resources, storage=cast(Storage, Broken(fail)), settings=settings)
    )


def away() -> None:
    raise Away("key", "503")


def disk_full() -> None:
    Path("/dev/full").write_bytes(b"x")


async def read(attempt: Attempt) -> tuple[Job, list[str]]:
    async with attempt.resources.db.snapshot() as session:
        events = await session.scalars(select(Event.message).where(Event.job_id == attempt.job.id).order_by(Event.seq))
        return await session.get_one(Job, attempt.job.id), list(events)


@asynccontextmanager
async def waiting_for_storage(attempt: Attempt) -> AsyncIterator[asyncio.Event]:
    """A run that waits for its dataset; after the block it has a minute to end. Gives what stops the worker."""
    stopping = asyncio.Event()
    run = asyncio.create_task(supervise(attempt, NOBODY, Slot(), stopping))
    waits = "Storage is not responding (key, 503). The job will continue when it is back."
    while waits not in (await read(attempt))[1]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    yield stopping
    await asyncio.wait_for(run, 60)
    assert not work_folder.path(attempt).parent.exists()


class TestBeforeTheChildStarts:
    async def test_a_stopping_worker_gives_the_job_back_unmarked(self, attempt: Attempt) -> None:
        attempt = with_storage(attempt, away)
        async with waiting_for_storage(attempt) as stopping:
            stopping.set()
        row, messages = await read(attempt)
        assert (row.status, row.attempts) == (JobStatus.QUEUED, 0)
        assert messages[-1] == "The worker is stopping. The job will continue from its last checkpoint."

    @pytest.mark.parametrize(
        ("move", "status"),
        [(lifecycle.pause, JobStatus.PAUSED), (lifecycle.cancel, JobStatus.CANCELLED)],
        ids=["pause", "cancel"],
    )
    async def test_a_pause_and_a_cancel_are_heard(
        self, attempt: Attempt, move: Callable[..., Awaitable[Job]], status: JobStatus
    ) -> None:
        attempt = with_storage(attempt, away)
        async with waiting_for_storage(attempt), attempt.resources.db.transaction() as session:
            await move(session, attempt.job.project_id, attempt.job.id)
        assert (await read(attempt))[0].status == status

    async def test_a_job_that_must_make_room_returns_to_the_queue_unmarked(self, attempt: Attempt) -> None:
        attempt = with_storage(attempt, away)
        async with waiting_for_storage(attempt), attempt.resources.db.transaction() as session:
            assert await preemption.ask(session, attempt.job.id, "ftjob-urgent")
        row, messages = await read(attempt)
        assert (row.status, row.attempts, row.preempted_for) == (JobStatus.QUEUED, 0, None)
        assert messages[-1].startswith(leases.PREEMPTED)

    async def test_a_full_disk_is_the_jobs_end_and_leaves_nothing_on_it(self, attempt: Attempt) -> None:
        attempt = with_storage(attempt, disk_full)
        await asyncio.wait_for(supervise(attempt, NOBODY, Slot(), asyncio.Event()), 5)
        row, messages = await read(attempt)
        assert row.status == JobStatus.FAILED
        assert (row.error or {})["code"] == "disk_full"
        assert messages[-1].startswith("The worker's disk is full.")
        assert not work_folder.path(attempt).parent.exists()

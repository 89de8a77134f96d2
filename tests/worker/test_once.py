"""A worker that trains one job, or none, and ends."""

import asyncio
from typing import cast

import pytest

from fettle.host.devices import Slot
from fettle.jobs.placement import CLASSES
from fettle.tenancy import projects
from models import Job, JobStatus
from tests.fettle import given
from worker import main, presence
from worker.attempts.attempt import Attempt
from worker.attempts.resources import Resources
from worker.jobs.training_process import ProcessLauncher
from worker.main import Once, serve_slot


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the jobs that a supervisor got; none of them runs."""
    found: list[str] = []

    async def supervise(attempt: Attempt, *_: object) -> None:
        found.append(attempt.job.id)

    monkeypatch.setattr(main, "supervise", supervise)
    return found


async def serve(resources: Resources, once: Once) -> None:
    """Ends by itself, or the test fails."""
    row = presence.describe(resources, [Slot()])
    woken, stopping, published = asyncio.Event(), asyncio.Event(), asyncio.Event()
    launcher = cast(ProcessLauncher, None)
    await asyncio.wait_for(serve_slot(resources, launcher, 0, Slot(), row, woken, stopping, published, once), 60)


async def queued(resources: Resources, priority: int = 1) -> Job:
    async with resources.db.transaction() as session:
        project = await projects.ensure(session, "default")
    return await given.job(resources.db, project, priority=priority)


async def test_it_trains_the_next_job_and_no_other(resources: Resources, supervised: list[str]) -> None:
    later, first = await queued(resources), await queued(resources, CLASSES["high"])
    await serve(resources, Once())
    assert supervised == [first.id]
    assert (await given.read(resources.db, later)).status == JobStatus.QUEUED


async def test_it_trains_the_job_that_is_named(resources: Resources, supervised: list[str]) -> None:
    await queued(resources, CLASSES["high"])
    named = await queued(resources)
    await serve(resources, Once(named.id))
    assert supervised == [named.id]


async def test_when_nothing_waits_it_ends_with_a_word(
    resources: Resources, supervised: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    await queued(resources)
    await serve(resources, Once("ftjob-none"))
    assert supervised == []
    assert "nothing_to_do" in capsys.readouterr().out

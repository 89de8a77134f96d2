import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from sqlalchemy import select

from fettle.errors import TrainingFailed
from fettle.host.devices import Slot
from fettle.jobs import leases, lifecycle
from fettle.jobs.placement import Offer
from fettle.storage import LocalStorage, Refused, Storage
from models import Event, Job, JobStatus, TunedModel
from worker import presence
from worker.attempts.attempt import Attempt
from worker.attempts.resources import Resources
from worker.jobs import publish_retry, publishing, work_folder
from worker.jobs.supervisor import supervise
from worker.jobs.training_process import ProcessLauncher

NOBODY = cast(ProcessLauncher, None)  # no child is started: what is published was trained before
DONE = {"type": "done", "path": "out/adapter", "step": 2, "trained_tokens": 120}
REFUSAL = "The storage refused the object a: 403. When the operator has mended that, resume the job."


class Refusing(LocalStorage):
    """Refuses every adapter."""

    async def put_file(self, key: str, path: Path, *, keep: bool = True) -> None:
        if "/adapter/" in key:
            raise Refused(key, "403")
        await super().put_file(key, path, keep=keep)


async def messages(resources: Resources) -> list[str]:
    async with resources.db.snapshot() as session:
        return list(await session.scalars(select(Event.message).order_by(Event.seq)))


async def read(resources: Resources, job: Job) -> Job:
    async with resources.db.snapshot() as session:
        return await session.get_one(Job, job.id)


async def fail(resources: Resources, job: Job, code: str = "storage_refused") -> None:
    await Attempt(resources, job).write(lambda session, row: leases.fail(session, row, code, REFUSAL))


async def resume_and_claim(resources: Resources, job: Job, host: str) -> Job | None:
    async with resources.db.transaction() as session:
        await lifecycle.resume(session, job.project_id, job.id)
    async with resources.db.transaction() as session:
        return await leases.claim(session, "w", 60, offer=Offer(host))


@pytest.fixture
def trained(resources: Resources, job: Job) -> Path:
    """The work folder of a run that ended well."""
    folder = work_folder.path(Attempt(resources, job))
    (folder / "out" / "adapter").mkdir(parents=True)
    (folder / "out" / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "spec.json").write_bytes(orjson.dumps({"seed": 1}))
    (folder / "events.out").write_bytes(b"curve")
    return folder


@pytest.fixture
async def refused(resources: Resources, job: Job, trained: Path) -> AsyncIterator[Job]:
    """The job, failed because storage refused its adapter."""
    await publish_retry.keep(Attempt(resources, job), trained, DONE, [trained / "events.out"])
    await fail(resources, job)
    yield job


async def test_a_resumed_job_publishes_the_adapter_without_a_training_process(
    resources: Resources, refused: Job
) -> None:
    again = await resume_and_claim(resources, refused, presence.host())
    assert again is not None
    await asyncio.wait_for(supervise(Attempt(resources, again), NOBODY, Slot(), asyncio.Event()), 10)
    row = await read(resources, refused)
    assert (row.status, row.kept_by, row.trained_tokens) == (JobStatus.SUCCEEDED, None, 120), row.error
    async with resources.db.snapshot() as session:
        model = (await session.scalars(select(TunedModel))).one()
    assert await resources.storage.read(f"{model.prefix}/adapter_model.safetensors") == b"weights"
    assert await resources.storage.read(f"jobs/{row.id}/{row.fence}/events.out") == b"curve"
    assert not (publish_retry.root(resources.settings) / row.id).exists()
    told = await messages(resources)
    assert "The trained adapter stays on the worker's disk; when the job is resumed it is published from there" in told
    assert "Fine-tuning job resumed after it failed with storage_refused. Its adapter will be published." in told


async def test_a_store_that_refuses_again_leaves_the_adapter_for_the_next_resume(
    resources: Resources, refused: Job
) -> None:
    again = await resume_and_claim(resources, refused, presence.host())
    assert again is not None
    storage = cast(Storage, Refusing(resources.settings.storage))
    await asyncio.wait_for(
        supervise(Attempt(replace(resources, storage=storage), again), NOBODY, Slot(), asyncio.Event()), 10
    )
    row = await read(resources, refused)
    assert (row.status, (row.error or {})["code"]) == (JobStatus.FAILED, "storage_refused")
    third = await resume_and_claim(resources, refused, presence.host())
    assert third is not None
    await asyncio.wait_for(supervise(Attempt(resources, third), NOBODY, Slot(), asyncio.Event()), 10)
    assert (await read(resources, refused)).status == JobStatus.SUCCEEDED


async def test_a_worker_of_another_host_does_not_look_for_it(resources: Resources, refused: Job) -> None:
    again = await resume_and_claim(resources, refused, "elsewhere")  # no worker of this host is alive
    assert again is not None
    assert again.kept_by is None
    assert publish_retry.find(Attempt(resources, again)) is None


async def test_a_folder_that_is_not_whole_is_not_published(resources: Resources, refused: Job) -> None:
    (publish_retry.root(resources.settings) / refused.id / publish_retry.RUN).unlink()
    again = await resume_and_claim(resources, refused, presence.host())
    assert again is not None
    assert publish_retry.find(Attempt(resources, again)) is None


async def test_a_disk_without_room_costs_the_adapter_and_nothing_else(
    resources: Resources, job: Job, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish_retry, "move", full)
    await publish_retry.keep(Attempt(resources, job), trained, DONE, [])
    assert (await read(resources, job)).kept_by is None


@pytest.mark.parametrize(
    ("columns", "stays"),
    [
        ({}, True),
        ({"status": JobStatus.QUEUED, "error": None}, True),
        ({"status": JobStatus.RUNNING, "error": None}, True),
        ({"finished_at": 0.0}, False),  # long ago
        ({"error": {"code": "adapter_not_reproduced"}}, False),
        ({"kept_by": None}, False),
        ({"kept_by": "elsewhere"}, False),
        ({"status": JobStatus.CANCELLED}, False),
        ({"status": JobStatus.SUCCEEDED}, False),
    ],
    ids=str,
)
async def test_it_goes_when_no_resume_can_publish_it_any_more(
    resources: Resources, refused: Job, columns: dict[str, Any], stays: bool
) -> None:
    async with resources.db.transaction() as session:
        row = await session.get_one(Job, refused.id)
        for name, value in columns.items():
            setattr(row, name, value)
    await publish_retry.sweep(resources)
    assert (publish_retry.root(resources.settings) / refused.id).exists() == stays


async def test_publishing_that_storage_refuses_raises_what_is_kept(
    resources: Resources, job: Job, trained: Path
) -> None:
    storage = cast(Storage, Refusing(resources.settings.storage))
    with pytest.raises(TrainingFailed) as error:
        await publishing.publish(Attempt(replace(resources, storage=storage), job), trained / "out" / "adapter", DONE)
    assert error.value.code == "storage_refused"

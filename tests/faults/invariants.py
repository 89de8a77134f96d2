"""What holds after every fault, read from the rows and from storage."""

import hashlib

from sqlalchemy import select

from fettle.db import Database
from fettle.storage import Storage, artifacts, garbage_collection
from models import ENDED, Checkpoint, Event, Job, JobStatus, TunedModel

TERMINAL = {
    JobStatus.SUCCEEDED: "The job has successfully completed",
    JobStatus.CANCELLED: "Fine-tuning job cancelled",
}


async def assert_hold(db: Database, storage: Storage, accepted: set[str], checked: set[str]) -> None:
    """No accepted job is lost, none ends twice, what is published is what its manifest says, no stale fence wrote.

    checked: prefixes whose files were hashed by an earlier call; this one adds its own.
    """
    async with db.snapshot() as session:
        jobs = {job.id: job for job in await session.scalars(select(Job))}
        models = list(await session.scalars(select(TunedModel)))
        checkpoints = list(await session.scalars(select(Checkpoint)))
        events = list(await session.scalars(select(Event)))
    assert accepted <= jobs.keys(), "an accepted job is lost"
    for job in jobs.values():
        assert_one_end(job, [event for event in events if event.job_id == job.id])
        published = [model for model in models if model.job_id == job.id]
        assert len(published) == (job.status == JobStatus.SUCCEEDED), job.id
        for model in published:
            assert model.name == job.fine_tuned_model
            assert fence_of(model.prefix) == job.fence, "a stale fence published"
    for artifact in [*models, *checkpoints]:
        assert fence_of(artifact.prefix) <= jobs[artifact.job_id].fence
        if artifact.prefix not in checked:
            await assert_whole(storage, artifact.prefix)
            checked.add(artifact.prefix)


def assert_one_end(job: Job, events: list[Event]) -> None:
    """A job that has ended says so once, and nothing of another end; one that has not says nothing."""
    ends = [event.message for event in events if event.message in TERMINAL.values() or event.level == "error"]
    if job.status not in ENDED:
        assert ends == [], job.id
        return
    assert ends == [TERMINAL.get(job.status) or (job.error or {})["message"]], job.id
    assert (job.finished_at is None, job.lease_until, job.pause_requested_at) == (False, None, None), job.id


def fence_of(prefix: str) -> int:
    return int(prefix.split("/")[2])


async def assert_whole(storage: Storage, prefix: str) -> None:
    for name, entry in (await artifacts.manifest(storage, prefix)).files.items():
        if name in garbage_collection.RESUME_ONLY:  # on its way out once the job is over
            continue
        content = await storage.read(f"{prefix}/{name}")
        assert hashlib.sha256(content).hexdigest() == entry.sha256, f"{prefix}/{name}"

"""What holds after every fault, read from the rows and from storage."""

import asyncio
import hashlib

from sqlalchemy import select

from fettle.db import Database
from fettle.jobs import lifecycle
from fettle.storage import Storage, artifacts, deletions, garbage_collection
from models import ENDED, Checkpoint, Deletion, Event, File, Job, JobStatus, RolloutChunk, TunedModel

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
        events = list(await session.scalars(select(Event).order_by(Event.seq)))
    assert accepted <= jobs.keys(), "an accepted job is lost"
    for job in jobs.values():
        assert_one_end(job, [event for event in events if event.job_id == job.id])
        published = [model for model in models if model.job_id == job.id]
        assert len(published) == (job.status == JobStatus.SUCCEEDED), job.id
        for model in published:
            assert model.name == job.fine_tuned_model
            assert fence_of(model.prefix) == job.fence, "a stale fence published"
    await assert_no_litter(db, storage)
    for artifact in [*models, *checkpoints]:
        assert fence_of(artifact.prefix) <= jobs[artifact.job_id].fence
        if artifact.prefix not in checked:
            await assert_whole(storage, artifact.prefix)
            checked.add(artifact.prefix)


def assert_one_end(job: Job, events: list[Event]) -> None:
    """A job that has ended says so once, and nothing of another end; one that has not says nothing."""
    resumed = [number for number, event in enumerate(events) if event.message.startswith(lifecycle.RESUMED)]
    last_try = events[resumed[-1] if resumed else 0 :]
    ends = [event.message for event in last_try if event.message in TERMINAL.values() or event.level == "error"]
    if job.status not in ENDED:
        assert ends == [], job.id
        return
    assert ends == [TERMINAL.get(job.status) or (job.error or {})["message"]], job.id
    assert (job.finished_at is None, job.lease_until, job.pause_requested_at) == (False, None, None), job.id


async def assert_no_litter(db: Database, storage: Storage) -> None:
    """After a collection every object is named by a row, or belongs to a run that goes on; every row has its object."""
    for _ in range(100):  # the workers collect at the same time
        await deletions.sweep(db, storage)
        await garbage_collection.collect(db, storage)
        litter, lacking = await compare(db, storage)
        if not litter and not lacking:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"no row names {sorted(litter)[:5]}; storage lacks {sorted(lacking)[:5]}")


async def compare(db: Database, storage: Storage) -> tuple[set[str], set[str]]:
    """(keys that no row accounts for, keys that rows name and storage lacks)."""
    keys = {key for root in ("jobs", "files", "readiness") for key in await storage.list(root)}
    async with db.snapshot() as session:
        jobs = list(await session.scalars(select(Job)))
        files = set(await session.scalars(select(File.storage_key)))
        chunks = set(await session.scalars(select(RolloutChunk.storage_key)))
        planned = set(await session.scalars(select(Deletion.key)))
        prefixes = set(await session.scalars(select(Checkpoint.prefix)))
        prefixes |= set(await session.scalars(select(TunedModel.prefix)))
    over = {job.id for job in jobs if garbage_collection.is_over(job, 7)}
    running = {f"jobs/{job.id}/{job.fence}" for job in jobs if job.status == JobStatus.RUNNING}

    def accounted(key: str) -> bool:
        folder, _, name = key.rpartition("/")
        if key in files | chunks | planned or any(key.startswith(f"{prefix}/") for prefix in running):
            return True
        needless = "/checkpoints/" in key and key.split("/")[1] in over and name not in garbage_collection.SERVED
        return folder in prefixes and not needless

    named = files | chunks | {f"{prefix}/{artifacts.MANIFEST}" for prefix in prefixes}
    return {key for key in keys if not accounted(key)}, named - keys


def fence_of(prefix: str) -> int:
    return int(prefix.split("/")[2])


async def assert_whole(storage: Storage, prefix: str) -> None:
    for name, entry in (await artifacts.manifest(storage, prefix)).files.items():
        if name not in garbage_collection.SERVED:  # on its way out once the job is over
            continue
        content = await storage.read(f"{prefix}/{name}")
        assert hashlib.sha256(content).hexdigest() == entry.sha256, f"{prefix}/{name}"

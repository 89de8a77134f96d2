"""Rollouts that are old enough go, and nothing else."""

import time
from pathlib import Path

import pytest

from fettle import ids
from fettle.db import Database
from fettle.rollouts import retention
from fettle.storage import LocalStorage, Storage, artifacts, garbage_collection
from models import Job, JobStatus, Project, RolloutChunk
from tests.fettle import given

DAY = 24 * 3600


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return LocalStorage(str(tmp_path / "storage"))


async def with_rollouts(
    db: Database, project: Project, storage: Storage, status: JobStatus, days_ago: float | None
) -> Job:
    """A job with two steps' rollouts, and an adapter."""
    finished_at = None if days_ago is None else time.time() - days_ago * DAY
    job = await given.job(db, project, status=status, finished_at=finished_at, fence=1)
    for step in (1, 2):
        key = f"jobs/{job.id}/1/rollouts/step-{step:06d}.parquet"
        await artifacts.put_bytes(storage, key, b"rows")
        async with db.transaction() as session:
            chunk = RolloutChunk(id=ids.new("rollouts-"), job_id=job.id, step=step, rows=8, summary={}, storage_key=key)
            session.add(chunk)
    await artifacts.put_bytes(storage, f"jobs/{job.id}/1/notes", b"of another kind")
    return job


async def left(storage: Storage, job: Job) -> list[str]:
    return [key.split("/1/")[1] for key in await storage.list(f"jobs/{job.id}")]


KEPT = ["notes", "rollouts/step-000001.parquet", "rollouts/step-000002.parquet"]


class TestExpire:
    async def test_those_of_a_job_that_ended_long_ago_go_and_the_job_says_so(
        self, db: Database, project: Project, storage: Storage
    ) -> None:
        job = await with_rollouts(db, project, storage, JobStatus.SUCCEEDED, days_ago=8)
        assert await retention.expire(db, storage, 7) == [retention.Removed(job.id, steps=2, rollouts=16)]
        assert await left(storage, job) == ["notes"]
        assert await given.count(db, RolloutChunk) == 0
        last = (await given.messages(db, job))[-1]
        assert last == "16 rollouts of 2 steps were deleted. Rollouts are kept for 7 days after a job ends."
        assert await retention.expire(db, storage, 7) == []

    @pytest.mark.parametrize(
        ("status", "days_ago"),
        [
            (JobStatus.SUCCEEDED, 6.9),
            (JobStatus.FAILED, 1),
            (JobStatus.RUNNING, None),
            (JobStatus.QUEUED, None),
            (JobStatus.PAUSED, None),
        ],
    )
    async def test_those_of_a_job_that_goes_on_or_ended_lately_stay(
        self, db: Database, project: Project, storage: Storage, status: JobStatus, days_ago: float | None
    ) -> None:
        job = await with_rollouts(db, project, storage, status, days_ago)
        assert await retention.expire(db, storage, 7) == []
        assert await left(storage, job) == KEPT
        assert await given.count(db, RolloutChunk) == 2

    async def test_what_a_crash_between_rows_and_objects_leaves_is_collected(
        self, db: Database, project: Project, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = await with_rollouts(db, project, storage, JobStatus.FAILED, days_ago=8)

        async def crash(prefix: str) -> None:
            raise RuntimeError

        with monkeypatch.context() as broken:
            broken.setattr(storage, "delete", crash)
            with pytest.raises(RuntimeError):
                await retention.expire(db, storage, 7)
        assert await given.count(db, RolloutChunk) == 0
        assert await left(storage, job) == KEPT
        assert await retention.expire(db, storage, 7) == []
        await garbage_collection.collect(db, storage)
        assert await left(storage, job) == []  # with all else that no row names

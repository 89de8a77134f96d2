from pathlib import Path

from fettle.db import Database
from fettle.storage import LocalStorage, artifacts, garbage_collection, usage
from models import JobStatus, Project
from tests.fettle import given


async def test_a_job_and_its_project_say_what_they_take_up(db: Database, project: Project, tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path / "storage"))
    job, other = await given.claimed(db, project), await given.job(db, project)  # each with a file of 1,000 bytes
    for name, size in (("checkpoints/step-000001/a", 70), ("rollouts/1", 7)):
        await artifacts.put_bytes(storage, f"jobs/{job.id}/{job.fence}/{name}", bytes(size))
    await artifacts.put_bytes(storage, f"jobs/{other.id}/1/metrics.csv", bytes(500))
    assert (await given.read(db, job)).stored_bytes is None
    await usage.measure(db, storage, job.id)
    assert (await given.read(db, job)).stored_bytes == 77
    assert (await given.read(db, other)).stored_bytes is None
    async with db.snapshot() as session:
        assert await usage.of_project(session, project.id) == {"files": 2000, "jobs": 77, "models": 0}


async def test_a_collection_measures_what_it_leaves(db: Database, project: Project, tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path / "storage"))
    job = await given.claimed(db, project)
    await artifacts.put_bytes(storage, f"jobs/{job.id}/0/adapter/litter", bytes(900))
    await artifacts.put_bytes(storage, f"jobs/{job.id}/{job.fence}/adapter/a", bytes(70))
    await garbage_collection.collect(db, storage)
    assert (await given.read(db, job)).stored_bytes == 70
    await given.change(db, job, status=JobStatus.CANCELLED)
    await garbage_collection.collect(db, storage)
    assert (await given.read(db, job)).stored_bytes == 0


async def test_jobs_that_have_nothing_in_storage_any_more_are_measured_as_well(
    db: Database, project: Project, tmp_path: Path
) -> None:
    job = await given.job(db, project, stored_bytes=77)
    await garbage_collection.collect(db, LocalStorage(str(tmp_path / "storage")))
    assert (await given.read(db, job)).stored_bytes == 0

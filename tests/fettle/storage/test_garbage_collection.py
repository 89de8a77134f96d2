import time
from pathlib import Path

import pytest

from fettle import ids
from fettle.datasets import files
from fettle.db import Database
from fettle.jobs import lifecycle
from fettle.storage import LocalStorage, Storage, artifacts, garbage_collection
from models import Checkpoint, Job, JobStatus, Project, TunedModel
from tests.fettle import given

FILES = {"adapter_model.safetensors": b"weights", "optimizer.pt": b"moments", "trainer_state.json": b"{}"}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return LocalStorage(str(tmp_path / "storage"))


async def upload(storage: Storage, folder: Path, prefix: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    await artifacts.upload(storage, folder, prefix)
    return prefix


async def checkpoint(db: Database, job: Job, prefix: str, step: int) -> None:
    name = f"{lifecycle.tuned_model_name(job, 'default')}:{step}"
    async with db.transaction() as session:
        session.add(
            Checkpoint(
                id=ids.new("ftckpt_"),
                job_id=job.id,
                project_id=job.project_id,
                name=name,
                step=step,
                metrics={},
                prefix=prefix,
            )
        )


class TestCollect:
    async def test_what_a_fenced_run_uploaded_goes_and_what_rows_name_stays(
        self, db: Database, project: Project, storage: Storage, tmp_path: Path
    ) -> None:
        job = await given.job(db, project, status=JobStatus.SUCCEEDED, fence=3)
        kept = await upload(storage, tmp_path / "a", f"jobs/{job.id}/1/checkpoints/step-000008")
        await checkpoint(db, job, kept, 8)
        lost = await upload(storage, tmp_path / "a", f"jobs/{job.id}/1/checkpoints/step-000016")
        half = f"jobs/{job.id}/1/adapter"
        await artifacts.put_bytes(storage, f"{half}/adapter_model.safetensors", b"no manifest yet")
        await artifacts.put_bytes(storage, f"jobs/{job.id}/1/metrics.csv", b"step")
        published = await upload(storage, tmp_path / "a", f"jobs/{job.id}/3/adapter")
        result = files.new(project.id, "metrics.csv", files.RESULTS, 4)
        result.storage_key = f"jobs/{job.id}/3/metrics.csv"
        await artifacts.put_bytes(storage, result.storage_key, b"step")
        async with db.transaction() as session:
            row = await session.get_one(Job, job.id)
            row.result_files = [result.id]
            session.add_all(
                [
                    result,
                    TunedModel(
                        name="ft:x", project_id=project.id, job_id=job.id, base_model="starter", prefix=published
                    ),
                ]
            )
        assert sorted(await garbage_collection.collect(db, storage)) == sorted(
            [lost, half, f"jobs/{job.id}/1/metrics.csv"]
        )
        left = {key.rsplit("/", 1)[0] for key in await storage.list("jobs")}
        assert left == {kept, published, f"jobs/{job.id}/3"}
        assert await garbage_collection.collect(db, storage) == []

    async def test_the_reward_model_of_an_attempt_that_died_goes_and_the_one_that_a_row_names_stays(
        self, db: Database, project: Project, storage: Storage, tmp_path: Path
    ) -> None:
        job = await given.job(db, project, status=JobStatus.SUCCEEDED, fence=2)
        lost = await upload(storage, tmp_path / "a", f"jobs/{job.id}/1/reward_model")
        kept = await upload(storage, tmp_path / "a", f"jobs/{job.id}/2/reward_model")
        row = TunedModel(name="ft:x", project_id=project.id, job_id=job.id, base_model="starter", prefix=kept)
        async with db.transaction() as session:
            session.add(row)
        assert await garbage_collection.collect(db, storage) == [lost]
        assert {key.rsplit("/", 1)[0] for key in await storage.list("jobs")} == {kept}

    async def test_what_the_current_run_is_uploading_stays(
        self, db: Database, project: Project, storage: Storage, tmp_path: Path
    ) -> None:
        job = await given.claimed(db, project)
        await upload(storage, tmp_path / "a", f"jobs/{job.id}/{job.fence}/adapter")
        assert await garbage_collection.collect(db, storage) == []
        await given.change(db, job, status=JobStatus.CANCELLED, fence=job.fence + 1)
        assert await garbage_collection.collect(db, storage) == [f"jobs/{job.id}/{job.fence}/adapter"]
        assert await storage.list("jobs") == []

    async def test_jobs_that_the_database_does_not_know_and_keys_of_other_kinds_are_left_alone(
        self, db: Database, project: Project, storage: Storage, tmp_path: Path
    ) -> None:
        job = await given.job(db, project, status=JobStatus.FAILED, fence=2)
        await upload(storage, tmp_path / "a", "jobs/ftjob-unknown/1/adapter")
        for key in (f"jobs/{job.id}/export.zip", "files/p/f"):
            await artifacts.put_bytes(storage, key, b"x")
        before = [*await storage.list("jobs"), *await storage.list("files")]
        assert await garbage_collection.collect(db, storage) == []
        assert [*await storage.list("jobs"), *await storage.list("files")] == before

    async def test_a_damaged_checkpoint_is_left_as_it_is_and_keeps_nothing_from_being_collected(
        self, db: Database, project: Project, storage: Storage, tmp_path: Path
    ) -> None:
        job = await given.job(db, project, status=JobStatus.SUCCEEDED, fence=3)
        damaged = await upload(storage, tmp_path / "a", f"jobs/{job.id}/1/checkpoints/step-000008")
        await checkpoint(db, job, damaged, 8)
        await artifacts.put_bytes(storage, f"{damaged}/manifest.json", b"{")
        litter = await upload(storage, tmp_path / "a", f"jobs/{job.id}/2/adapter")
        assert await garbage_collection.collect(db, storage) == [litter]
        assert f"{damaged}/optimizer.pt" in await storage.list(damaged)

    @pytest.mark.parametrize("status", JobStatus)
    @pytest.mark.parametrize("days", [6.9, 7.1])
    async def test_a_checkpoint_loses_its_optimizer_when_no_resume_reaches_it_any_more(
        self, db: Database, project: Project, storage: Storage, tmp_path: Path, status: JobStatus, days: float
    ) -> None:
        job = await given.job(db, project, status=status, fence=1, finished_at=time.time() - days * 24 * 3600)
        over = status in (JobStatus.SUCCEEDED, JobStatus.CANCELLED) or (status == JobStatus.FAILED and days > 7)
        prefix = await upload(storage, tmp_path / "a", f"jobs/{job.id}/1/checkpoints/step-000008")
        await checkpoint(db, job, prefix, 8)
        for _ in range(2):
            await garbage_collection.collect(db, storage)
            await artifacts.download(storage, prefix, tmp_path / "got")  # whole, by its manifest
            left = {path.name for path in (tmp_path / "got").iterdir()}
            assert left == ({"adapter_model.safetensors"} if over else set(FILES))
            assert {key.rsplit("/", 1)[1] for key in await storage.list(prefix)} == left | {artifacts.MANIFEST}
            for path in (tmp_path / "got").iterdir():
                path.unlink()

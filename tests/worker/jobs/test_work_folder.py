import json
from dataclasses import replace
from pathlib import Path

import pytest

from fettle.errors import TrainingFailed
from fettle.jobs import events
from models import File
from tests.worker.conftest import ROWS
from worker.attempts.attempt import Attempt
from worker.jobs import publishing, work_folder


async def checkpoint(attempt: Attempt, folder: Path, step: int) -> None:
    """Publishes one as a child's line would."""
    (folder / f"checkpoint-{step}").mkdir(parents=True)
    (folder / f"checkpoint-{step}" / "adapter_model.safetensors").write_text(f"weights of step {step}")
    line = {"step": step, "metrics": {"step": step}}
    await publishing.publish_checkpoint(attempt, folder / f"checkpoint-{step}", line)


class TestPrepare:
    async def test_the_folder_holds_spec_and_dataset(self, attempt: Attempt) -> None:
        folder = work_folder.path(attempt)
        await work_folder.prepare(attempt, folder)
        spec = json.loads((folder / "spec.json").read_text())
        assert spec["method"] == attempt.job.method
        assert spec["seed"] == 1
        assert (Path(spec["base_model"]["path"]) / "config.json").is_file()
        assert (folder / "train").read_bytes() == ROWS
        assert not (folder / "valid").exists()
        assert not (folder / "resume").exists()

    async def test_what_a_dead_predecessor_left_is_removed(self, attempt: Attempt) -> None:
        folder = work_folder.path(attempt)
        leftover = folder.parent / "0" / "out"
        leftover.mkdir(parents=True)
        await work_folder.prepare(attempt, folder)
        assert not leftover.exists()

    async def test_a_deleted_dataset_fails_the_job_by_name(self, attempt: Attempt) -> None:
        async with attempt.resources.db.transaction() as session:
            await session.delete(await session.get_one(File, attempt.job.training_file))
        with pytest.raises(TrainingFailed, match=attempt.job.training_file) as caught:
            await work_folder.prepare(attempt, work_folder.path(attempt))
        assert caught.value.code == "file_deleted"


class TestResume:
    @pytest.mark.parametrize(
        ("saved", "told", "message"),
        [
            (4, 7, "The job continues from the checkpoint of step 4. Steps 5 to 7 appear again in these events"),
            (4, 5, "The job continues from the checkpoint of step 4. Step 5 appears again in these events"),
            (None, 2, "The job continues from the beginning. Steps 1 to 2 appear again in these events"),
            (4, 4, None),
            (None, 0, None),
        ],
    )
    async def test_the_feed_says_which_steps_appear_again(
        self, attempt: Attempt, tmp_path: Path, saved: int | None, told: int, message: str | None
    ) -> None:
        if saved is not None:
            await checkpoint(attempt, tmp_path / "out", saved)
        async with attempt.resources.db.transaction() as session:
            for step in range(1, told + 1):
                events.add(session, attempt.job.id, f"Step {step}", type="metrics", data={"step": step})
        await work_folder.prepare(attempt, work_folder.path(attempt))
        async with attempt.resources.db.snapshot() as session:
            rows, _ = await events.newest(session, attempt.job.id, after=None, limit=1)
        if message is None:
            assert "again" not in rows[0].message
        else:
            assert rows[0].message == f"{message}. Metrics use the new values only."
            after = saved or 0
            assert rows[0].data == {"resumed_after": after, "repeated_from": after + 1, "repeated_to": told}

    async def test_the_newest_checkpoint_is_fetched(self, attempt: Attempt, tmp_path: Path) -> None:
        await checkpoint(attempt, tmp_path / "out", 4)
        await checkpoint(attempt, tmp_path / "out", 8)
        folder = work_folder.path(attempt)
        await work_folder.prepare(attempt, folder)
        assert (folder / "resume" / "adapter_model.safetensors").read_text() == "weights of step 8"

    async def test_a_damaged_one_is_passed_over_for_the_one_before(self, attempt: Attempt, tmp_path: Path) -> None:
        await checkpoint(attempt, tmp_path / "out", 4)
        await checkpoint(attempt, tmp_path / "out", 8)
        stored = attempt.settings.data / "storage" / "jobs" / attempt.job.id / "1" / "checkpoints" / "step-000008"
        (stored / "adapter_model.safetensors").write_text("weights of step 9")
        folder = work_folder.path(attempt)
        await work_folder.prepare(attempt, folder)
        assert (folder / "resume" / "adapter_model.safetensors").read_text() == "weights of step 4"

    @pytest.mark.parametrize("added", ["optimizer.pt", "adapter_model.bin"])
    async def test_a_file_that_is_not_ours_never_reaches_the_child(
        self, attempt: Attempt, tmp_path: Path, added: str
    ) -> None:
        await checkpoint(attempt, tmp_path / "out", 4)
        stored = attempt.settings.data / "storage" / "jobs" / attempt.job.id / "1" / "checkpoints" / "step-000004"
        (stored / added).write_bytes(b"a pickle that somebody put there")
        folder = work_folder.path(attempt)
        await work_folder.prepare(attempt, folder)
        assert [path.name for path in (folder / "resume").iterdir()] == ["adapter_model.safetensors"]

    async def test_with_no_whole_checkpoint_the_run_begins_anew(self, attempt: Attempt, tmp_path: Path) -> None:
        await checkpoint(attempt, tmp_path / "out", 4)
        stored = attempt.settings.data / "storage" / "jobs" / attempt.job.id / "1" / "checkpoints" / "step-000004"
        (stored / "adapter_model.safetensors").write_text("weights of somebody else")
        folder = work_folder.path(attempt)
        await work_folder.prepare(attempt, folder)
        assert not (folder / "resume").exists()


async def test_a_base_model_that_left_the_catalog_fails_the_job_by_name(attempt: Attempt) -> None:
    without = replace(attempt, resources=replace(attempt.resources, models={}))
    with pytest.raises(TrainingFailed, match="'starter' does not exist on this server") as caught:
        await work_folder.prepare(without, work_folder.path(attempt))
    assert caught.value.code == "base_model_unavailable"


class TestSweep:
    async def test_only_the_folder_of_a_run_that_goes_on_stays(self, attempt: Attempt) -> None:
        work = attempt.settings.data / "work"
        for folder in (f"{attempt.job.id}/{attempt.job.fence}", f"{attempt.job.id}/0", "ftjob-unknown/1"):
            (work / folder / "out").mkdir(parents=True)
        await work_folder.sweep(attempt.resources)
        assert {path.relative_to(work).as_posix() for path in work.glob("*/*")} == {
            f"{attempt.job.id}/{attempt.job.fence}"
        }
        assert [path.name for path in work.iterdir()] == [attempt.job.id]

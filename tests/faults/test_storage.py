"""The store refuses, a checkpoint rots, a worker dies between upload and commit."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from fettle.db import Database
from fettle.storage import Storage
from tests.e2e.conftest import wait_for
from tests.faults.conftest import House

pytestmark = pytest.mark.slow

WAITS, GOES_ON = "Storage is not responding", "Storage is back. The job continues."


def test_a_store_that_is_away_is_waited_for_and_costs_no_attempt(house: House) -> None:
    job_id = house.job(rows=160)
    house.training(job_id)
    with house.proxy.refusing():
        house.wait_for_message(job_id, WAITS)
        seen = house.proxy.refused
        wait_for(lambda: house.proxy.refused > seen + 8, 60, "the worker to try again, past boto3's own retries")
        row = ("a.jsonl", b'{"prompt": "1", "completion": "2"}')
        answer = house.http.post("/v1/files", files={"file": row}, data={"purpose": "fine-tune"})
        assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "true"), answer.text
    house.assert_success(job_id, attempts=1)
    assert GOES_ON in house.messages(job_id)


def test_a_job_that_waits_for_the_store_is_cancelled_paused_and_drained_like_any_other(house: House) -> None:
    house.upload(64)
    with house.proxy.refusing():
        jobs = [house.job() for _ in range(2)]  # one for each worker
        for job_id in jobs:
            house.wait_for_message(job_id, WAITS)
        house.client.fine_tuning.jobs.cancel(jobs[0])
        house.client.fine_tuning.jobs.pause(jobs[1])
        wait_for(lambda: house.client.fine_tuning.jobs.retrieve(jobs[1]).status == "paused", 60, "the pause")
        house.client.fine_tuning.jobs.resume(jobs[1])
        wait_for(
            lambda: sum(message.startswith(WAITS) for message in house.messages(jobs[1])) == 2,
            60,
            "the resumed job to wait for the store",
        )
        worker = house.worker_of(jobs[1])
        worker.terminate()
        assert worker.wait(60) == 0
    house.assert_success(jobs[1], attempts=1)


def test_a_damaged_newest_checkpoint_is_passed_over_for_the_one_before(house: House) -> None:
    job_id = house.job(rows=64, epochs=6)
    house.wait_for_message(job_id, "Checkpoint created at step 16")
    _, child = house.training(job_id)
    child.suspend()
    newest = max(key for key in house.keys(job_id) if key.endswith("adapter_model.safetensors"))

    async def truncate(db: Database, storage: Storage) -> None:
        whole = await storage.read(newest)

        async def half() -> object:
            yield whole[: len(whole) // 2]

        await storage.put(newest, half())  # type: ignore[arg-type]

    house.look(truncate)
    step = int(newest.split("step-")[1].split("/")[0])
    child.kill()
    house.assert_success(job_id, attempts=2)
    messages = house.messages(job_id)
    assert f"The checkpoint of step {step} is damaged. The job will use an earlier state." in messages
    assert f"Resuming after step {step - 8}." in messages


def test_after_a_death_between_upload_and_commit_the_run_is_published_again_and_the_litter_collected(
    house: House,
) -> None:
    def die() -> None:
        worker = house.worker_of(job_id)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()

    with house.proxy.when_stored("/metrics.csv", die) as stored:
        job_id = house.job()
        house.wait_for_end(job_id)
    assert stored.is_set()
    house.assert_success(job_id, attempts=2)
    fence = house.row(job_id).fence
    assert fence > 1

    def tidy() -> bool:
        keys = house.keys(job_id)
        litter = [key for key in keys if key.startswith(f"jobs/{job_id}/1/") and "/checkpoints/" not in key]
        return not litter and not any(key.endswith("optimizer.pt") for key in keys)

    wait_for(tidy, 60, "the dead worker's uploads, and the optimizer's state, to be collected")
    assert house.http.get(f"/v1/fine_tuning/jobs/{job_id}/adapter").is_success
    assert len(list(house.client.fine_tuning.jobs.checkpoints.list(job_id))) == 3


def test_a_full_disk_fails_the_job_and_not_the_worker(house: House, disk: Path) -> None:
    if not disk.is_mount():
        pytest.skip("mounting a small disk takes root")
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        free = shutil.disk_usage(disk).free
        file.write(bytes(free - 256 * 1024))
    job_id = house.job()
    job = house.wait_for_end(job_id)
    assert job.status == "failed"
    assert job.error is not None and job.error.code == "disk_full", job.error
    assert house.row(job_id).attempts == 1
    wait_for(lambda: not (disk / "work" / job_id).exists(), 60, "the scratch folder to go")
    ballast.unlink()
    house.assert_success(house.job(), attempts=1)
    assert all(worker.poll() is None for worker in house.workers)

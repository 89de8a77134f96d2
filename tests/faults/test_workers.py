"""Workers and children that die, hang, are told to stop, or are told the same thing twice."""

import asyncio
import signal
import time

import pytest

from fettle.queue import Doorbell
from tests.e2e.conftest import wait_for
from tests.faults.conftest import House

pytestmark = pytest.mark.slow


def test_a_cancelled_jobs_child_is_dead_within_two_seconds(house: House) -> None:
    job_id = house.long_job()
    _, child = house.training(job_id)
    assert house.client.fine_tuning.jobs.cancel(job_id).status == "cancelled"
    wait_for(lambda: not child.is_running(), 30, "the child to end")


def test_a_worker_that_is_told_to_stop_leaves_a_checkpoint_and_no_mark(house: House) -> None:
    job_id = house.job(rows=160)
    worker, _ = house.training(job_id)
    worker.terminate()
    assert worker.wait(60) == 0
    house.assert_success(job_id, attempts=1)
    messages = house.messages(job_id)
    assert "The worker is stopping. The job will continue from its last checkpoint." in messages
    assert any(message.startswith("Resuming after step") for message in messages)


def test_a_worker_frozen_for_longer_than_its_lease_publishes_nothing(house: House) -> None:
    job_id = house.job(rows=160)
    worker, child = house.training(job_id)
    frozen_fence = house.row(job_id).fence
    worker.send_signal(signal.SIGSTOP)
    house.wait_for_message(job_id, "Fine-tuning job started (attempt 2)", 60)
    worker.send_signal(signal.SIGCONT)
    wait_for(lambda: not child.is_running(), 30, "the zombie's child to be killed")
    house.assert_success(job_id, attempts=2)
    assert house.row(job_id).fence > frozen_fence
    assert worker.poll() is None, "the zombie took its job for its own and died of it"


def test_a_job_that_kills_three_children_is_given_up_with_its_log(house: House) -> None:
    job_id = house.long_job()
    for attempt in range(3):
        if attempt:
            house.wait_for_message(job_id, f"Fine-tuning job started (attempt {attempt + 1})")
        child = house.training_anew(job_id, attempt)
        with (house.data / "work" / job_id / str(house.row(job_id).fence) / "log.txt").open("a") as log:
            log.write(f"last words of {attempt}\n")  # where the child's own output goes
        child.kill()
    job = house.wait_for_end(job_id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.code == "worker_lost"
    assert job.error.message == (
        "The training process was killed by SIGKILL (often: the machine ran out of memory). "
        "The job failed after 3 attempts without progress."
    )
    events = house.http.get(f"/v1/fine_tuning/jobs/{job_id}/events?limit=100").json()["data"]
    logs = [event["data"]["log"][-1] for event in events if event["message"] == "Last lines of the training log"]
    assert logs == ["last words of 2", "last words of 1", "last words of 0"]


def test_a_bell_that_rings_twenty_times_starts_one_run(house: House) -> None:
    async def ring(job_id: str) -> None:
        doorbell = Doorbell(house.settings)
        await asyncio.gather(*(doorbell.ring(job_id) for _ in range(20)))
        await doorbell.close()

    job_id = house.job()
    asyncio.run(ring(job_id))
    house.assert_success(job_id, attempts=1)
    asyncio.run(ring(job_id))  # also of a job that is over
    time.sleep(1)
    assert house.row(job_id).fence == 1
    assert house.messages(job_id).count("Fine-tuning job started") == 1

"""A pause is honoured at the next step, with a checkpoint, whoever dies in between."""

import pytest

from tests.e2e.conftest import wait_for
from tests.faults.conftest import House

pytestmark = pytest.mark.slow


def pause(house: House, job_id: str) -> str:
    return house.client.fine_tuning.jobs.pause(job_id).status


def resume(house: House, job_id: str) -> str:
    return house.client.fine_tuning.jobs.resume(job_id).status


def wait_for_status(house: House, job_id: str, status: str) -> None:
    wait_for(lambda: house.client.fine_tuning.jobs.retrieve(job_id).status == status, 60, status)


def test_a_paused_run_goes_on_exactly_where_it_was(house: House) -> None:
    undisturbed = house.job(rows=160)
    job_id = house.job(rows=160)
    house.training(job_id)
    assert pause(house, job_id) == "running"
    wait_for_status(house, job_id, "paused")
    row = house.row(job_id)
    assert (row.attempts, row.owner, row.lease_until, row.pause_requested_at) == (0, None, None, None)
    steps = len(house.losses(job_id))
    assert 1 <= steps < 60, "it was paused in mid-run"
    assert resume(house, job_id) == "queued"
    house.assert_success(job_id, attempts=1)
    house.assert_success(undisturbed, attempts=1)
    assert house.losses(job_id) == house.losses(undisturbed)
    messages = house.messages(job_id)
    assert f"Resuming after step {steps}." in messages
    assert [message for message in messages if "paus" in message.lower()] == [
        "Pause requested. The job will save a checkpoint and pause.",
        "Fine-tuning job paused",
    ]


def test_when_the_worker_dies_before_the_boundary_the_job_is_paused_all_the_same(house: House) -> None:
    job_id = house.job(rows=160)
    worker, child = house.training(job_id)
    child.suspend()  # no boundary comes
    pause(house, job_id)
    worker.kill()
    child.kill()  # frozen, it cannot notice that it is an orphan
    wait_for_status(house, job_id, "paused")
    messages = house.messages(job_id)
    assert messages[-2].endswith("stopped responding")
    assert messages[-1] == "Fine-tuning job paused"
    assert resume(house, job_id) == "queued"
    house.assert_success(job_id, attempts=2)


def test_a_withdrawn_pause_costs_nothing(house: House) -> None:
    job_id = house.job(rows=160)
    _, child = house.training(job_id)
    child.suspend()
    pause(house, job_id)
    assert resume(house, job_id) == "running"
    child.resume()
    house.assert_success(job_id, attempts=1)
    assert "Fine-tuning job paused" not in house.messages(job_id)


def test_a_run_that_finishes_before_it_could_pause_has_succeeded(house: House) -> None:
    answers: list[str] = []
    with house.proxy.when_stored("/adapter/manifest.json", lambda: answers.append(pause(house, job_id))):
        job_id = house.job()
        house.assert_success(job_id, attempts=1)
    assert answers == ["running"]
    assert house.row(job_id).pause_requested_at is None


def test_a_paused_job_can_be_cancelled(house: House) -> None:
    job_id = house.long_job()
    _, child = house.training(job_id)
    pause(house, job_id)
    wait_for_status(house, job_id, "paused")
    wait_for(lambda: not child.is_running(), 30, "the child to end")
    assert house.client.fine_tuning.jobs.cancel(job_id).status == "cancelled"

"""Jobs on a real Ray cluster: Ray finds the place, and our leases and fences decide who may write."""

import pytest

from models import JobStatus
from tests.worker.ray.conftest import AWAY, House, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # each job loads torch anew

LONG = 50  # epochs
SECONDS = 10  # on a busy machine; an idle one needs less than two


def test_a_job_that_no_node_can_hold_waits_for_ray_until_it_is_cancelled(house: House) -> None:
    job_id = house.job(resources={"gpus": 2})
    wait_for(lambda: len(house.ray.groups()) == 1, 60, "the reservation to be asked for")
    found = house.waiting(job_id)
    assert found is not None
    assert (found.reason, found.message) == ("waiting_for_ray", "Waiting for Ray to reserve 2 GPUs.")
    house.wait_for_message(job_id, "No node of the Ray cluster can hold this job.")
    house.cancel(job_id)
    wait_for(lambda: house.ray.groups() == [], SECONDS, "the reservation to be withdrawn")
    assert house.row(job_id).fence == 1


def test_a_cancelled_jobs_worker_ends_and_gives_its_node_back(house: House) -> None:
    job_id = house.job(LONG)
    house.wait_for_message(job_id, "Step 1/")
    worker = house.worker(job_id)
    child = house.training(worker)
    house.cancel(job_id)
    wait_for(lambda: not child.is_running(), SECONDS, "the training to end")
    wait_for(lambda: not worker.is_running() and house.ray.groups() == [], 60, "the reservation to be given back")


def test_a_job_whose_node_dies_continues_on_another(house: House) -> None:
    job_id = house.job(LONG, resources={"labels": [AWAY]})
    house.wait_for_message(job_id, "Step 1/")
    house.kill_node_of(job_id)
    house.wait_for_success(job_id)
    messages = house.messages(job_id)
    assert "The worker stopped responding. The job will continue from its last checkpoint." in messages
    assert house.row(job_id).attempts == 2, messages
    house.staff()


def test_eight_jobs_on_three_nodes_run_once_each_though_the_executor_is_killed_in_the_middle(house: House) -> None:
    jobs = [house.job() for _ in range(8)]
    wait_for(lambda: any(house.row(job_id).status == JobStatus.SUCCEEDED for job_id in jobs), 300, "the first success")
    house.restart()
    house.wait_for_success(*jobs)
    assert [house.row(job_id).fence for job_id in jobs] == [1] * 8
    assert [house.messages(job_id).count("Fine-tuning job started") for job_id in jobs] == [1] * 8
    wait_for(lambda: house.ray.groups() == [], 60, "every reservation to be given back")

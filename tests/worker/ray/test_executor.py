"""Jobs on a real Ray cluster: Ray finds the place, and our leases and fences decide who may write."""

import pytest

from models import JobStatus
from tests.worker.ray.conftest import AWAY, House, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # each job loads torch anew

LONG = 50  # epochs, of a job that does not reach its end
ENOUGH = 25  # to be killed in the middle
SECONDS = 30  # on a busy machine; an idle one needs less than two


def test_a_job_that_no_node_can_hold_waits_for_ray_until_it_is_cancelled(house: House) -> None:
    job_id = house.job(resources={"gpus": 2, "labels": ["nowhere"]})
    wait_for(lambda: len(house.ray.groups()) == 1, 180, "the reservation to be asked for")
    found = house.waiting(job_id)
    assert found is not None
    assert (found.reason, found.message) == ("waiting_for_ray", "Waiting for Ray to reserve 2 GPUs.")
    house.wait_for_message(job_id, "No node of the Ray cluster can hold this job.")
    house.cancel(job_id)
    wait_for(lambda: house.ray.groups() == [], SECONDS, "the reservation to be withdrawn")
    assert house.row(job_id).fence == 1


def test_a_cancelled_jobs_processes_end_on_both_of_its_nodes_and_give_them_back(house: House) -> None:
    job_id = house.job(LONG, resources={"gpus": 2})
    house.wait_for_message(job_id, "Step 1/")
    worker, (member,) = house.worker(job_id), house.members(job_id)
    children = [house.training(worker), house.training(member)]
    house.cancel(job_id)
    wait_for(lambda: not any(child.is_running() for child in children), SECONDS, "the training to end")
    wait_for(lambda: not worker.is_running() and house.ray.groups() == [], 180, "the reservation to be given back")
    assert not member.is_running()


def test_a_job_one_of_whose_nodes_dies_continues_on_others(house: House) -> None:
    job_id = house.job(ENOUGH, resources={"gpus": 2, "labels": [AWAY]})
    house.wait_for_message(job_id, "Step 1/")
    house.kill_node_of(house.members(job_id)[0])
    house.staff()
    wait_for(lambda: house.row(job_id).attempts == 2, 300, "the second attempt")
    wait_for(lambda: len(house.members(job_id)) == 1 and house.row(job_id).owner is not None, 300, "its nodes")
    house.kill_node_of(house.worker(job_id))
    house.staff()
    house.wait_for_success(job_id)
    messages = house.messages(job_id)
    ends = [each for each in messages if each.endswith(" The job will continue from its last checkpoint.")]
    assert [each.split(".")[0] for each in ends] == [
        "The training process ended because one of the processes that trained the job together died",
        "The worker stopped responding",
    ], messages
    assert house.row(job_id).attempts == 3, messages


def test_five_jobs_on_three_nodes_run_once_each_though_the_executor_is_killed_in_the_middle(house: House) -> None:
    jobs = [*(house.job() for _ in range(4)), house.job(resources={"gpus": 2})]
    wait_for(lambda: any(house.row(job_id).status == JobStatus.SUCCEEDED for job_id in jobs), 600, "the first success")
    house.restart()
    house.wait_for_success(*jobs)
    assert [house.row(job_id).fence for job_id in jobs] == [1] * 5
    assert [house.messages(job_id).count("Fine-tuning job started") for job_id in jobs] == [1] * 5
    wait_for(lambda: house.ray.groups() == [], 180, "every reservation to be given back")
    *_, one, two = jobs
    assert "Device: 2 × CPU" in " ".join(house.messages(two))
    assert len(house.losses(one)) == 4
    assert house.losses(two) == pytest.approx(house.losses(one), rel=1e-4)

"""No job is lost: processes die by SIGKILL in the middle of a run, and one succeeded job comes out."""

import hashlib
import json
from pathlib import Path

import pytest
from openai.types.fine_tuning import FineTuningJob

from tests.e2e.conftest import Server, wait_for

pytestmark = pytest.mark.slow

STEPS = 24  # 64 rows in batches of 8, three epochs


def create(server: Server) -> str:
    return server.create(rows=64, epochs=3).id


@pytest.fixture(scope="module")
def undisturbed(server: Server) -> FineTuningJob:
    """What every job below must end like."""
    return server.wait_for_end(create(server))


def assert_one_success(server: Server, job: FineTuningJob) -> None:
    """Exactly one end, a metric for every step, and an artifact that is what its manifest says."""
    assert job.status == "succeeded", job.error
    assert server.messages(job.id).count("The job has successfully completed") == 1
    columns = server.http.get(f"/v1/fine_tuning/jobs/{job.id}/metrics").json()["columns"]
    assert columns["step"] == list(range(1, STEPS + 1))
    names = [model.id for model in server.client.models.list()]
    assert names.count(str(job.fine_tuned_model)) == 1
    manifests = list((server.data / "storage" / "jobs" / job.id).glob("*/adapter/manifest.json"))
    assert len(manifests) == 1
    for name, entry in json.loads(manifests[0].read_text())["files"].items():
        assert hashlib.sha256((manifests[0].parent / name).read_bytes()).hexdigest() == entry["sha256"]


def losses(server: Server, job_id: str) -> list[float]:
    found: list[float] = server.http.get(f"/v1/fine_tuning/jobs/{job_id}/metrics").json()["columns"]["train_loss"]
    return found


def test_a_killed_child_is_replaced_and_goes_on_from_its_checkpoint(server: Server, undisturbed: FineTuningJob) -> None:
    job_id = create(server)
    server.wait_for_message(job_id, "Checkpoint created at step 8")
    child = server.training_child()
    assert child is not None
    child.kill()
    job = server.wait_for_end(job_id)
    assert_one_success(server, job)
    messages = server.messages(job_id)
    assert any("killed by SIGKILL" in message for message in messages)
    assert any(message.startswith("Resuming after step") for message in messages)
    assert losses(server, job_id) == losses(server, undisturbed.id)


def test_a_killed_worker_loses_no_job(server: Server, undisturbed: FineTuningJob) -> None:
    job_id = create(server)
    server.wait_for_message(job_id, "Checkpoint created at step 8")
    worker, child = server.part("worker"), server.training_child()
    assert child is not None
    worker.kill()
    wait_for(lambda: not child.is_running(), 30, "the orphaned child to end by itself")
    job = server.wait_for_end(job_id)
    assert_one_success(server, job)
    assert any("stopped responding" in message for message in server.messages(job_id))
    assert losses(server, job_id) == losses(server, undisturbed.id)


def test_ctrl_c_drains_and_the_next_start_goes_on(server: Server) -> None:
    job_id = create(server)
    server.wait_for_message(job_id, "Step 3/")
    server.stop()
    server.start()
    job = server.wait_for_end(job_id)
    assert_one_success(server, job)
    messages = server.messages(job_id)
    assert any(message.startswith("The worker is stopping") for message in messages)
    assert any(message.startswith("Resuming after step") for message in messages)


def test_cancel_ends_the_child_and_the_job_at_once(server: Server) -> None:
    job_id = server.create(rows=400, epochs=5).id
    server.wait_for_message(job_id, "Step 1/")
    child = server.training_child()
    assert child is not None
    assert server.client.fine_tuning.jobs.cancel(job_id).status == "cancelled"
    wait_for(lambda: not child.is_running(), 30, "the child to end")
    assert server.messages(job_id)[-1] == "Fine-tuning job cancelled"
    work: list[Path] = []
    wait_for(lambda: not any((server.data / "work" / job_id).glob("*")), 60, f"the work folder to go {work}")


def test_a_job_fails_after_three_deaths_and_a_resume_ends_like_an_undisturbed_run(
    server: Server, undisturbed: FineTuningJob
) -> None:
    job_id = create(server)
    server.wait_for_message(job_id, "Checkpoint created at step 8")
    for attempt in range(3):
        server.wait_for_message(job_id, "Fine-tuning job started" + (f" (attempt {attempt + 1})" if attempt else ""))
        wait_for(lambda: server.training_child() is not None, 60, "a training child")
        child = server.training_child()
        assert child is not None
        child.kill()
        wait_for(lambda child=child: not child.is_running(), 30, "the child to end")
    job = server.wait_for_end(job_id)
    assert job.status == "failed"
    assert job.error is not None and job.error.code == "worker_lost"
    resumed = server.http.post(f"/v1/fine_tuning/jobs/{job_id}/resume").json()
    assert (resumed["status"], resumed["error"]) == ("queued", None)
    job = server.wait_for_end(job_id)
    assert_one_success(server, job)
    assert any(message.startswith("Resuming after step") for message in server.messages(job_id))
    assert losses(server, job_id) == losses(server, undisturbed.id)
    assert server.http.get(f"/v1/fine_tuning/jobs/{job_id}").json()["trained_tokens"] == undisturbed.trained_tokens

"""RLHF through the unmodified SDK: rankings in, a reward model and a policy out."""

from typing import Any

import openai
import pytest

from examples import rlhf, running
from tests.e2e.conftest import Server
from tests.e2e.test_examples import QUESTION, example, newest

pytestmark = pytest.mark.slow


def test_the_example_ends_with_a_reward_model_and_a_policy_that_chats(server: Server) -> None:
    said = example(server, "rlhf", "--prompts", "48", "--epochs", "2")
    assert "Phase 1 of 2" in said
    assert "Phase 2 of 2" in said
    assert "of the held-out pairs." in said
    job = newest(server, "rlhf")
    assert job["status"] == "succeeded"

    scorer = job["method"]["rlhf"]["reward_model"]
    assert scorer == f"{job['fine_tuned_model']}:reward-model"
    assert {scorer, job["fine_tuned_model"]} <= {model.id for model in server.client.models.list()}
    with pytest.raises(openai.BadRequestError, match="is a reward model"):
        server.client.chat.completions.create(model=scorer, messages=QUESTION)
    reply = server.client.chat.completions.create(model=job["fine_tuned_model"], messages=QUESTION)
    assert reply.choices[0].message.content

    columns = server.http.get(f"/v1/fine_tuning/jobs/{job['id']}/metrics").json()["columns"]
    assert columns["step"] == list(range(1, len(columns["step"]) + 1))
    first = columns["phase"].index("policy")
    assert set(columns["phase"][:first]) == {"reward_model"}
    assert set(columns["phase"][first:]) == {"policy"}
    assert columns["kl"][first] == pytest.approx(0, abs=1e-4)
    told = server.http.get(f"/v1/fine_tuning/jobs/{job['id']}/rollouts?limit=5").json()["data"]
    assert {each["step"] for each in told} == {first + 1}
    assert all(each["scores"].keys() == {"reward_model"} and each["kl"] is not None for each in told)
    table = server.client.files.content(job["result_files"][0]).text.splitlines()
    assert {"phase", "kl", "value_loss", "explained_variance"} <= set(table[0].split(","))
    assert len(table) == 1 + len(columns["step"])

    method: Any = {"type": "rlhf", "rlhf": {"reward_model": scorer, "hyperparameters": {"max_completion_tokens": 24}}}
    prompts = b"".join(b'{"prompt": "%d + 1 = ?", "topic": "sums"}\n' % number for number in range(12))
    created = server.client.fine_tuning.jobs.create(
        model="starter", training_file=running.upload(server.client, "prompts.jsonl", prompts), method=method, seed=2
    )
    with pytest.raises(openai.ConflictError, match="is in use by"):
        server.client.models.delete(scorer)
    server.client.fine_tuning.jobs.cancel(created.id)


def test_a_job_that_is_paused_in_its_second_phase_goes_on_there(server: Server) -> None:
    job_id = rlhf.create(server.client, prompts=32, held_out=8, batch_size=16, n_epochs=20)
    server.wait_for_message(job_id, "Step 7/", 240)  # six are the reward model's
    server.client.fine_tuning.jobs.pause(job_id)
    server.wait_for_message(job_id, "Fine-tuning job paused", 120)
    saved = server.client.fine_tuning.jobs.checkpoints.list(job_id).data[0].step_number
    server.client.fine_tuning.jobs.resume(job_id)
    server.wait_for_message(job_id, "Policy: Resuming after step", 120)
    steps = server.http.get(f"/v1/fine_tuning/jobs/{job_id}/metrics").json()["columns"]["step"]
    assert saved in steps
    server.client.fine_tuning.jobs.cancel(job_id)

"""A dry run as a user asks for it, and the job after it: the unmodified SDK, a whole server."""

import json
from typing import Any

import pytest

from examples import grpo
from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow


def test_a_dry_run_shows_what_the_jobs_first_look_then_tells(server: Server) -> None:
    content = b"".join(grpo.rows(32, "train", 5))
    training = server.client.files.create(file=("prompts.jsonl", content), purpose="fine-tune")
    hyperparameters = {"max_completion_tokens": 40, "batch_size": 4, "group_size": 4, "n_epochs": 1, "kl_beta": 0.01}
    method: Any = {"type": "grpo", "grpo": {"reward_functions": grpo.REWARDS, "hyperparameters": hyperparameters}}
    job = {"model": "starter", "training_file": training.id, "method": method, "seed": 3}
    found: Any = server.client.post("/fine_tuning/dry_runs", body={**job, "prompts": 8}, cast_to=object)
    assert (found["completions"], found["groups"]) == (32, 8)
    assert found["scores"].keys() == {"answer_correct", "think_format"}
    assert 0 < found["rewards"]["mean"] < 1.2
    assert found["warnings"] == [] and found["failures"] == []

    created = server.client.fine_tuning.jobs.create(**job)  # type: ignore[arg-type]
    assert server.wait_for_end(created.id).status == "succeeded"
    assert any(said.startswith("Rewards at step 1: reward 0.") for said in server.messages(created.id))
    exported = server.http.get(f"/v1/fine_tuning/jobs/{created.id}/rollouts/export").text.splitlines()
    rollouts = [json.loads(line) for line in exported]
    assert len(rollouts) == 8 * 16
    assert all(rollout["kl"] >= 0 for rollout in rollouts)

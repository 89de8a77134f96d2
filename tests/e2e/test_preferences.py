"""Comparisons through the unmodified SDK: DPO, reward models, and jobs that go on from a model."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from examples import gsm8k_preferences
from examples.preferences import dataset
from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SOLUTIONS = ROOT.parent / "shared" / "data" / "gsm8k" / "example_model_solutions.jsonl"
QUESTION: Any = [{"role": "user", "content": "Tom has 12 apples. Tom buys 30 more. How many apples does Tom have?"}]


def example(server: Server, name: str, *options: str) -> str:
    """What the script prints when a user runs it."""
    env = {**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": server.key}
    command = [sys.executable, "-m", f"examples.{name}", *options]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def newest(server: Server, method: str) -> Any:
    jobs = server.http.get("/v1/fine_tuning/jobs").json()["data"]
    return next(job for job in jobs if job["method"]["type"] == method)


def upload(server: Server, content: bytes) -> str:
    return server.client.files.create(file=("rows.jsonl", content), purpose="fine-tune").id


def test_the_dpo_example_trains_evaluates_and_chats(server: Server) -> None:
    said = example(server, "dpo", "--rows", "64", "--epochs", "1")
    assert "prefers the better response" in said
    job = newest(server, "dpo")
    assert (job["status"], job["model"], job["started_from"]) == ("succeeded", "starter", None)
    columns = server.http.get(f"/v1/fine_tuning/jobs/{job['id']}/metrics").json()["columns"]
    assert columns["train_loss"][0] == pytest.approx(0.6931, abs=1e-3)  # log 2: the policy is the reference
    assert columns["train_loss"][-1] < columns["train_loss"][0]
    assert columns["train_rewards_margins"][-1] > 0


def test_the_reward_model_example_ends_in_a_model_that_does_not_chat(server: Server) -> None:
    said = example(server, "reward_model", "--rows", "48", "--epochs", "1")
    assert "scores the better response higher" in said
    job = newest(server, "reward_model")
    with pytest.raises(openai.BadRequestError, match="is a reward model"):
        server.client.chat.completions.create(model=job["fine_tuned_model"], messages=QUESTION)
    with pytest.raises(openai.BadRequestError, match="only the method 'reward_model' goes on from it"):
        server.client.fine_tuning.jobs.create(
            model=job["fine_tuned_model"], training_file=server.upload(16), suffix="never"
        )


def test_dpo_goes_on_from_a_tuned_model_and_supervised_from_a_checkpoint(server: Server) -> None:
    tuned = server.wait_for_end(server.create(rows=32, epochs=2, suffix="first").id)
    assert tuned.fine_tuned_model is not None
    pairs = upload(server, dataset("pair", "train", 32))
    method: Any = {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 1, "batch_size": 16}}}
    held_out = upload(server, dataset("pair", "held_out", 12))
    created = server.client.fine_tuning.jobs.create(
        model=tuned.fine_tuned_model, training_file=pairs, validation_file=held_out, method=method, seed=1
    )
    assert created.model == tuned.fine_tuned_model
    done = server.wait_for_end(created.id)
    assert done.status == "succeeded", done.error
    columns = server.http.get(f"/v1/fine_tuning/jobs/{done.id}/metrics").json()["columns"]
    assert columns["train_loss"][0] == pytest.approx(0.6931, abs=1e-3)  # the reference is where it started
    found = server.http.get(f"/v1/fine_tuning/jobs/{done.id}/evaluation").json()
    assert found["base"]["reward_margin"] != 0  # the base is not the reference here
    assert str(done.fine_tuned_model).startswith("ft:starter:default:")
    reply = server.client.chat.completions.create(model=str(done.fine_tuned_model), messages=QUESTION)
    assert reply.choices[0].message.content

    (checkpoint, *_) = server.client.fine_tuning.jobs.checkpoints.list(tuned.id).data
    again = server.client.fine_tuning.jobs.create(
        model=checkpoint.fine_tuned_model_checkpoint, training_file=tuned.training_file, seed=11
    )
    more = server.wait_for_end(again.id)
    assert more.status == "succeeded", more.error
    before, after = (
        server.http.get(f"/v1/fine_tuning/jobs/{job.id}/metrics").json()["columns"]["train_loss"]
        for job in (tuned, more)
    )
    assert after[0] < before[0]  # of the same first batch, which it knows already


@pytest.mark.skipif(not SOLUTIONS.is_file(), reason=f"needs {SOLUTIONS.name} of GSM8K beside the project")
@pytest.mark.parametrize(("method", "shape"), [("dpo", "pair"), ("reward_model", "ranking")])
def test_real_answers_to_gsm8k(server: Server, method: str, shape: str) -> None:
    questions = list(gsm8k_preferences.questions(SOLUTIONS))[:30]
    rows = [question.ranking() for question in questions]
    if shape == "pair":
        rows = [row for question in questions for row in question.pairs()]
    file = upload(server, "".join(json.dumps(row) + "\n" for row in rows).encode())
    asked: Any = {"type": method, method: {"hyperparameters": {"n_epochs": 1, "batch_size": 16}}}
    job = server.client.fine_tuning.jobs.create(model="starter", training_file=file, method=asked)
    done = server.wait_for_end(job.id, 240)
    assert done.status == "succeeded", done.error

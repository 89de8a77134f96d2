"""Every script of examples/, run as a user runs it, against one server: small, and what it prints is looked at."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
MARKS = re.compile(r"^right +([\d.]+)%  reasoned +([\d.]+)%  (\S+)$", re.MULTILINE)
PARTS = {"__init__", "running"}  # of the other scripts


def example(server: Server, name: str, *options: str) -> str:
    """What the script prints when a user runs it."""
    env = {**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": server.key}
    command = [sys.executable, "-m", f"examples.{name}", *options]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def newest(server: Server, method: str) -> Any:
    jobs = server.http.get("/v1/fine_tuning/jobs").json()["data"]
    return next(job for job in jobs if job["method"]["type"] == method)


def metrics(server: Server, job_id: str) -> Any:
    return server.http.get(f"/v1/fine_tuning/jobs/{job_id}/metrics").json()["columns"]


def header(server: Server, job: Any) -> list[str]:
    """The columns of the result file."""
    return server.client.files.content(job["result_files"][0]).text.splitlines()[0].split(",")


def marks(said: str) -> dict[str, tuple[float, float]]:
    """Model → how many percent of its answers are right, and reasoned."""
    return {model: (float(right), float(reasoned)) for right, reasoned, model in MARKS.findall(said)}


def test_sft_shows_how_and_the_evaluation_script_agrees(server: Server) -> None:
    said = example(server, "sft", "--rows", "320", "--exam", "40")
    job = newest(server, "supervised")
    assert "Step 40/40" in said
    before, after = re.findall(r"validation loss ([\d.]+) before, ([\d.]+) after", said)[0]
    assert float(after) < float(before)
    tuned = marks(said)[job["fine_tuned_model"]]
    assert tuned[1] > marks(said)["starter"][1] == 0  # the base blurts
    again = example(server, "evaluation", "starter", job["fine_tuned_model"], "--problems", "40")
    assert marks(again) == marks(said)


def test_dpo_prefers_what_it_did_not_say_by_itself(server: Server) -> None:
    said = example(server, "dpo", "--rows", "96", "--epochs", "1", "--exam", "20")
    (before,), (after,) = (re.findall(rf"{who} +prefers .*? ([\d.]+)%", said) for who in ("base", "tuned"))
    assert float(after) > float(before)
    job = newest(server, "dpo")
    assert (job["status"], job["model"], job["started_from"]) == ("succeeded", "starter", None)
    columns = metrics(server, job["id"])
    assert columns["train_loss"][0] == pytest.approx(0.6931, abs=1e-3)  # log 2: the policy is the reference
    assert columns["train_loss"][-1] < columns["train_loss"][0]
    assert columns["train_rewards_margins"][-1] > 0
    assert marks(said).keys() == {"starter", job["fine_tuned_model"]}
    assert {"train_rewards_chosen", "train_rewards_margins", "valid_rewards_accuracies"} <= {*header(server, job)}


def test_a_reward_model_scores_and_does_not_chat(server: Server) -> None:
    said = example(server, "reward_model", "--rows", "48")
    assert re.search(r"scores the better response higher in [\d.]+%", said)
    job = newest(server, "reward_model")
    refused = server.http.post("/v1/chat/completions", json={"model": job["fine_tuned_model"], "messages": QUESTION})
    assert refused.status_code == 400
    assert "is a reward model" in refused.json()["error"]["message"]
    goes_on = {"model": job["fine_tuned_model"], "training_file": server.upload(16)}
    refused = server.http.post("/v1/fine_tuning/jobs", json=goes_on)
    assert refused.status_code == 400
    assert "only the method 'reward_model' goes on from it" in refused.json()["error"]["message"]
    assert {"train_accuracy", "train_margin", "train_reward_mean", "valid_accuracy"} <= {*header(server, job)}


def test_grpo_shows_its_best_rollouts(server: Server) -> None:
    said = example(server, "grpo", "--prompts", "32", "--exam", "20")
    job = newest(server, "reinforcement")
    page = server.http.get(f"/v1/fine_tuning/jobs/{job['id']}/rollouts", params={"sort": "-reward", "limit": 3}).json()
    for best in page["data"]:
        assert f"step {best['step']}, reward {best['reward']:.2f}: {best['completion']}" in said
    assert marks(said).keys() == {"starter", job["fine_tuned_model"]}
    assert {"train_reward_mean", "rewards/answer_correct/mean", "rewards/think_format/mean"} <= {*header(server, job)}
    columns = metrics(server, job["id"])
    assert all(columns["train_reward_mean"])
    assert columns["tokens"][-1] == job["trained_tokens"] > 32 * 8 * 10


def test_preferences_against_a_model_reject_what_it_says(server: Server) -> None:
    said = example(server, "preferences", "--rows", "8", "--against", "starter")
    rows = [json.loads(line) for line in said.splitlines()]
    assert len(rows) == 8
    for row in rows:
        assert "<think>" in row["chosen"]
        question: Any = [{"role": "user", "content": row["prompt"]}]
        reply = server.client.chat.completions.create(model="starter", messages=question, temperature=0)
        assert reply.choices[0].message.content == row["rejected"]


def test_every_script_is_run_by_some_test_and_told_of_in_the_readme() -> None:
    scripts = {path.stem for path in (ROOT / "examples").glob("*.py")} - PARTS
    told = set(re.findall(r"^\| `(\w+)`", (ROOT / "examples" / "README.md").read_text(), re.MULTILINE))
    assert told == scripts
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    run = re.compile(r'examples\.(\w+)|examples import ([\w, ]+)|example\(server, "(\w+)"')
    assert scripts - {name for found in run.findall(tests) for names in found for name in names.split(", ")} == set()


QUESTION = [{"role": "user", "content": "Tom has 12 apples. Tom buys 30 more. How many apples does Tom have?"}]

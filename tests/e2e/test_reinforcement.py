"""Learning from rewards through the unmodified SDK, by the script that users copy."""

import os
import subprocess
import sys

import pytest

from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow


def test_the_grpo_example_learns_from_rewards_and_shows_its_best_attempts(server: Server) -> None:
    env = {**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": server.key}
    command = [sys.executable, "-m", "examples.grpo", "--prompts", "32"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (job,) = server.http.get("/v1/fine_tuning/jobs").json()["data"]
    assert (job["status"], job["method"]["type"]) == ("succeeded", "reinforcement")
    assert done.stdout.strip().endswith(job["fine_tuned_model"])
    columns = server.http.get(f"/v1/fine_tuning/jobs/{job['id']}/metrics").json()["columns"]
    assert {"train_reward_mean", "rewards/answer_correct/mean", "rewards/think_format/mean"} <= columns.keys()
    assert columns["tokens"][-1] == job["trained_tokens"] > 32 * 8 * 10
    best = server.http.get(f"/v1/fine_tuning/jobs/{job['id']}/rollouts", params={"sort": "-reward", "limit": 1}).json()
    assert f"reward {best['data'][0]['reward']:.2f}: {best['data'][0]['completion']}" in done.stdout

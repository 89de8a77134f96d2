"""Models as judges of a reinforcement job: a reward model trained just before, and the starter with OpenAI's grader."""

import json
from itertools import islice
from typing import Any

import openai
import pytest

from examples.preferences import dataset
from examples.word_problems import problems
from tests.e2e.conftest import Server, wait_for

pytestmark = pytest.mark.slow

TRAIN: dict[str, Any] = {
    "n_epochs": 1,
    "batch_size": 4,
    "group_size": 4,
    "max_completion_tokens": 24,
}
SCORE_MODEL: dict[str, Any] = {
    "type": "score_model",
    "name": "graded",
    "model": "starter",
    "range": [0, 1],
    "input": [{"role": "user", "content": "{{item.answer}}? {{sample.output_text}}"}],
    "sampling_params": {"temperature": 0.0, "max_completions_tokens": 256},
}


def prompts(server: Server, rows: int = 12) -> str:
    content = "".join(
        json.dumps({"prompt": problem.question, "answer": str(problem.answer)}) + "\n"
        for problem in islice(problems("train", 5), rows)
    )
    return server.client.files.create(file=("prompts.jsonl", content.encode()), purpose="fine-tune").id


def judged(server: Server, **judges: Any) -> Any:
    method: Any = {"type": "reinforcement", "reinforcement": {**judges, "hyperparameters": TRAIN}}
    return server.client.fine_tuning.jobs.create(model="starter", training_file=prompts(server), method=method, seed=1)


def rollouts(server: Server, job_id: str) -> list[Any]:
    return list(server.http.get(f"/v1/fine_tuning/jobs/{job_id}/rollouts", params={"limit": 100}).json()["data"])


@pytest.fixture(scope="module")
def reward_model(server: Server) -> str:
    pairs = server.client.files.create(file=("pairs.jsonl", dataset("pair", "train", 64)), purpose="fine-tune")
    method: Any = {"type": "reward_model", "reward_model": {"hyperparameters": {"n_epochs": 1, "batch_size": 16}}}
    job = server.client.fine_tuning.jobs.create(model="starter", training_file=pairs.id, method=method, seed=1)
    done = server.wait_for_end(job.id)
    assert done.status == "succeeded", done.error
    return str(done.fine_tuned_model)


def test_grpo_learns_from_a_reward_model(server: Server, reward_model: str) -> None:
    kinds = {model["id"]: model["kind"] for model in server.http.get("/v1/models").json()["data"]}
    assert (kinds[reward_model], kinds["starter"]) == ("reward_model", "chat")
    functions = [{"name": "reward_model", "parameters": {"model": reward_model}}]
    done = server.wait_for_end(judged(server, reward_functions=functions).id)
    assert done.status == "succeeded", done.error
    found = rollouts(server, done.id)
    assert len(found) == 12 * 4
    assert all(row["scores"]["reward_model"] == row["reward"] for row in found)
    assert len({row["reward"] for row in found}) > 12
    assert {row["reward_version"] for row in found} == {1}
    columns = server.http.get(f"/v1/fine_tuning/jobs/{done.id}/metrics").json()["columns"]
    assert columns["grader_errors"] == [0, 0, 0]

    row = found[0]  # graders/run says the same of it
    grader: Any = {"type": "function", "name": "rm", "function": "reward_model", "parameters": {"model": reward_model}}
    item = {**row["item"], "messages": row["prompt"]}
    run = server.client.fine_tuning.alpha.graders.run(grader=grader, model_sample=row["completion"], item=item)
    assert run.reward == pytest.approx(row["reward"], abs=1e-4)


def test_a_job_may_be_graded_by_a_model_that_writes_and_its_judge_be_changed(server: Server, reward_model: str) -> None:
    job = judged(server, grader=SCORE_MODEL)
    wait_for(lambda: bool(rollouts(server, job.id)), 60, "the first step's rollouts")
    more = {"reward_functions": ["exact_match", {"name": "reward_model", "parameters": {"model": reward_model}}]}
    edited = server.http.patch(f"/v1/fine_tuning/jobs/{job.id}/rewards", json=more)
    done = server.wait_for_end(job.id)
    assert done.status == "succeeded", done.error
    found = rollouts(server, job.id)
    graded = [row for row in found if row["reward_version"] == 1]
    assert graded
    assert all(0 <= row["reward"] <= 1 and not row["errors"] for row in graded)
    if edited.status_code == 200:  # unless it had ended by then
        later = [row for row in found if row["reward_version"] == 2]
        assert all(set(row["scores"]) == {"exact_match", "reward_model"} for row in later)


def test_an_engine_that_falls_while_a_job_asks_it_costs_no_completion(server: Server, reward_model: str) -> None:
    functions = [{"name": "reward_model", "parameters": {"model": reward_model}}]
    job = judged(server, reward_functions=functions)
    wait_for(lambda: bool(rollouts(server, job.id)), 60, "the first step's rollouts")
    fallen = server.part("worker.engine")
    fallen.kill()  # `fettle up` starts another, which has to load the reward model anew
    done = server.wait_for_end(job.id)
    assert done.status == "succeeded", done.error
    found = rollouts(server, job.id)
    assert len(found) == 12 * 4
    assert all(row["reward"] is not None for row in found)
    assert server.part("worker.engine").pid != fallen.pid


def test_another_projects_reward_model_is_unknown(server: Server, reward_model: str) -> None:
    server.http.post("/v1/projects", json={"name": "elsewhere"}).raise_for_status()
    key = server.http.post("/v1/api_keys", json={"project": "elsewhere", "name": "theirs"})
    theirs = openai.OpenAI(api_key=key.json()["value"], base_url=f"{server.url}/v1")
    content = b"".join(b'{"prompt": "%d + 1 =", "answer": "?"}\n' % number for number in range(12))
    file = theirs.files.create(file=("prompts.jsonl", content), purpose="fine-tune")
    functions = [{"name": "reward_model", "parameters": {"model": reward_model}}]
    method: Any = {"type": "reinforcement", "reinforcement": {"reward_functions": functions}}
    with pytest.raises(openai.NotFoundError) as refused:
        theirs.fine_tuning.jobs.create(model="starter", training_file=file.id, method=method)
    assert refused.value.code == "model_not_found"
    assert not theirs.fine_tuning.jobs.list().data

"""Jobs that go on from a model, and comparisons of real answers, through the unmodified SDK."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
from openai.types.fine_tuning import FineTuningJob

from examples import grpo, gsm8k_preferences
from examples.preferences import dataset
from tests.e2e.conftest import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SOLUTIONS = ROOT.parent / "shared" / "data" / "gsm8k" / "example_model_solutions.jsonl"
QUESTION: Any = [{"role": "user", "content": "Tom has 12 apples. Tom buys 30 more. How many apples does Tom have?"}]


def upload(server: Server, content: bytes) -> str:
    return server.client.files.create(file=("rows.jsonl", content), purpose="fine-tune").id


@pytest.fixture(scope="module")
def shown(server: Server) -> FineTuningJob:
    """A supervised job to go on from."""
    job = server.wait_for_end(server.create(rows=32, epochs=2, suffix="first").id, 400)
    assert job.status == "succeeded", job.error
    return job


@pytest.fixture(params=["tuned model", "checkpoint"])
def start(request: pytest.FixtureRequest, server: Server, shown: FineTuningJob) -> str:
    if request.param == "tuned model":
        return str(shown.fine_tuned_model)
    (checkpoint, *_) = server.client.fine_tuning.jobs.checkpoints.list(shown.id).data
    return checkpoint.fine_tuned_model_checkpoint


class TestGoingOn:
    def test_dpo(self, server: Server, start: str) -> None:
        created = server.client.fine_tuning.jobs.create(
            model=start,
            training_file=upload(server, dataset("pair", "train", 32)),
            validation_file=upload(server, dataset("pair", "held_out", 12)),
            method={"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 1, "batch_size": 16}}},
            seed=1,
        )
        assert created.model == start
        done = server.wait_for_end(created.id, 400)
        assert done.status == "succeeded", done.error
        assert columns(server, done)["train_loss"][0] == pytest.approx(0.6931, abs=1e-3)  # its reference is its start
        found = server.http.get(f"/v1/fine_tuning/jobs/{done.id}/evaluation").json()
        assert found["base"]["reward_margin"] != 0  # the base is not the reference here
        assert str(done.fine_tuned_model).startswith("ft:starter:default:")
        reply = server.client.chat.completions.create(model=str(done.fine_tuned_model), messages=QUESTION)
        assert reply.choices[0].message.content

    def test_supervised(self, server: Server, shown: FineTuningJob, start: str) -> None:
        job = server.client.fine_tuning.jobs.create(model=start, training_file=shown.training_file, seed=11)
        done = server.wait_for_end(job.id, 400)
        assert done.status == "succeeded", done.error
        # of the same first batch, which it knows already
        assert columns(server, done)["train_loss"][0] < columns(server, shown)["train_loss"][0]

    def test_reinforcement(self, server: Server, start: str) -> None:
        hyperparameters = {"n_epochs": 1, "batch_size": 4, "group_size": 4, "max_completion_tokens": 32, "kl_beta": 0.1}
        method: Any = {
            "type": "reinforcement",
            "reinforcement": {"reward_functions": ["answer_correct"], "hyperparameters": hyperparameters},
        }
        file = upload(server, b"".join(grpo.rows(12, "train", 1)))
        job = server.client.fine_tuning.jobs.create(model=start, training_file=file, method=method, seed=1)
        done = server.wait_for_end(job.id, 400)
        assert done.status == "succeeded", done.error
        assert done.to_dict()["started_from"] == start
        stored = server.http.get(f"/v1/fine_tuning/jobs/{done.id}/rollouts", params={"step": 1}).json()["data"]
        assert len(stored) == 16
        assert columns(server, done)["kl"][0] == pytest.approx(0, abs=1e-6)  # its reference is its start

    def test_reward_model(self, server: Server, start: str) -> None:
        method: Any = {"type": "reward_model", "reward_model": {"hyperparameters": {"n_epochs": 1, "batch_size": 16}}}
        file = upload(server, dataset("ranking", "train", 16))
        job = server.client.fine_tuning.jobs.create(model=start, training_file=file, method=method, seed=1)
        done = server.wait_for_end(job.id, 400)
        assert done.status == "succeeded", done.error
        assert done.to_dict()["started_from"] == start

    def test_rlhf(self, server: Server, start: str) -> None:
        file = upload(server, dataset("ranking", "train", 16))
        job = server.client.fine_tuning.jobs.create(model=start, training_file=file, method=RLHF, seed=1)
        done = server.wait_for_end(job.id, 400)
        assert done.status == "succeeded", done.error
        assert done.to_dict()["started_from"] == start
        table = columns(server, done)
        assert table["kl"][table["phase"].index("policy")] == pytest.approx(0, abs=1e-4)  # its reference is its start


def columns(server: Server, job: FineTuningJob) -> Any:
    return server.http.get(f"/v1/fine_tuning/jobs/{job.id}/metrics").json()["columns"]


def rankings(questions: Iterable[gsm8k_preferences.Question]) -> list[dict[str, Any]]:
    return [question.ranking() for question in questions]


def pairs(questions: Iterable[gsm8k_preferences.Question]) -> list[dict[str, Any]]:
    return [pair for question in questions for pair in question.pairs()]


RLHF: Any = {
    "type": "rlhf",
    "rlhf": {
        "hyperparameters": {"n_epochs": 1, "batch_size": 8, "max_completion_tokens": 48},
        "reward_model_hyperparameters": {"n_epochs": 1, "batch_size": 8},
    },
}
REAL: dict[str, tuple[Any, dict[str, Any]]] = {  # method → its rows, and what its job is asked for
    "dpo": (pairs, {"hyperparameters": {"n_epochs": 1, "batch_size": 8}}),
    "reward_model": (rankings, {"hyperparameters": {"n_epochs": 1, "batch_size": 8}}),
}


needs_gsm8k = pytest.mark.skipif(not SOLUTIONS.is_file(), reason="GSM8K is not beside the project")


@needs_gsm8k
@pytest.mark.parametrize("method", REAL)
def test_real_answers_to_gsm8k(server: Server, method: str) -> None:
    questions = list(islice(gsm8k_preferences.questions(SOLUTIONS), 24))
    rows, asked = REAL[method]
    files = [
        upload(server, "".join(json.dumps(row) + "\n" for row in rows(part)).encode())
        for part in (questions[:16], questions[16:])
    ]
    job = server.client.fine_tuning.jobs.create(
        model="starter",
        training_file=files[0],
        validation_file=files[1],
        seed=1,
        method={"type": method, method: asked},  # type: ignore[arg-type,misc]
    )
    done = server.wait_for_end(job.id, 400)
    assert done.status == "succeeded", done.error
    assert columns(server, done)["valid_loss"][-1] is not None
    found = server.http.get(f"/v1/fine_tuning/jobs/{job.id}/evaluation").json()
    assert found["rows"] == found["rows_in_file"] == len(list(compared(questions[16:], method)))


def compared(questions: Iterable[gsm8k_preferences.Question], method: str) -> Iterator[tuple[str, str]]:
    """The pairs that a method's rows stand for."""
    for question in questions:
        if method == "dpo":
            yield from zip(question.right, question.wrong, strict=False)
        else:
            yield from product(question.right, question.wrong)


@needs_gsm8k
def test_rlhf_from_real_answers_to_gsm8k(server: Server) -> None:
    questions = list(islice(gsm8k_preferences.questions(SOLUTIONS), 24))
    files = [
        upload(server, "".join(json.dumps(row) + "\n" for row in rankings(part)).encode())
        for part in (questions[:16], questions[16:])
    ]
    job = server.client.fine_tuning.jobs.create(
        model="starter", training_file=files[0], validation_file=files[1], seed=1, method=RLHF
    )
    done: Any = server.wait_for_end(job.id, 400)
    assert done.status == "succeeded", done.error
    table = columns(server, done)
    assert set(table["phase"]) == {"reward_model", "policy"}
    assert table["valid_reward_mean"][-1] is not None
    found = server.http.get(f"/v1/fine_tuning/jobs/{job.id}/evaluation").json()
    assert found["rows"] == len(questions[16:])
    assert found["reward_model"]["rows"] == len(list(compared(questions[16:], "rlhf")))
    assert done.to_dict()["method"]["rlhf"]["reward_model"] == f"{done.fine_tuned_model}:reward-model"

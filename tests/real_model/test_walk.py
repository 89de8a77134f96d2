"""Every method, its evaluation, serving and export on SmolLM2-135M-Instruct, which pads with its end of text.

`make test-real-model` prepares the model and runs this: a few steps of each method, some ten minutes on two free cores.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from assets.smollm2 import make
from bench.real_model import LESSONS, Figures, serving, teach
from fettle.settings import Settings

pytestmark = [pytest.mark.real_model, pytest.mark.slow, pytest.mark.timeout(1800)]

ROWS, HELD_OUT, STEPS = 12, 4, 3
QUESTION = [{"role": "user", "content": "Tom has 4 apples. Tom buys 3 more. How many apples does Tom have?"}]
RIGHT, WRONG = "<think>4 + 3 = 7.</think><answer>7</answer>", "<answer>9</answer>"
Taught = Callable[[str], Figures]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def client(data: Path) -> Iterator[OpenAI]:
    make.prepare(Settings())
    with serving(2, data) as speaker:
        yield speaker


@pytest.fixture(scope="module")
def taught(client: OpenAI) -> Taught:
    """A few steps of a method, made when it is first asked for, after the lessons that it goes on from."""
    done: dict[str, Figures] = {}

    def of(method: str) -> Figures:
        if method not in done:
            before = ["supervised", "reward_model"] if method == "rlhf" else [LESSONS[method].start]
            tuned = {name: of(name).model for name in before if name is not None}
            lesson = replace(LESSONS[method], rows=ROWS, options=small(LESSONS[method].options))
            done[method] = teach(client, method, lesson, tuned, held_out=HELD_OUT, ask=False)
        return done[method]

    return of


def small(options: dict[str, Any]) -> dict[str, Any]:
    """A batch of 4, so that every method but the reward model, whose rankings hold three pairs each, takes 3 steps."""
    asked = {**options["hyperparameters"], "batch_size": 4}
    return {**options, "hyperparameters": asked | ({"max_completion_tokens": 24} if "group_size" in asked else {})}


def test_supervised_lowers_the_held_out_loss(taught: Taught) -> None:
    figures = taught("supervised")
    assert figures.steps == STEPS
    assert figures.after["loss"] < figures.before["loss"]


def test_dpo_moves_towards_the_better_response(taught: Taught) -> None:
    figures = taught("dpo")
    assert figures.steps == STEPS
    assert figures.after["reward_margin"] > 0


def test_a_reward_model_learns_and_scores_what_it_is_asked(client: OpenAI, taught: Taught) -> None:
    figures = taught("reward_model")
    assert figures.after["reward_margin"] > figures.before["reward_margin"]
    grader = {"type": "function", "name": "rm", "function": "reward_model", "parameters": {"model": figures.model}}
    scores = []
    for reply in (RIGHT, WRONG):
        body: Any = {"grader": grader, "item": {"messages": QUESTION}, "model_sample": reply}
        answer: Any = client.post("/fine_tuning/alpha/graders/run", body=body, cast_to=object)
        scores.append(answer["reward"])
    assert all(math.isfinite(score) for score in scores)
    assert scores[0] != scores[1]


@pytest.mark.parametrize("method", ["reinforcement", "rlhf"])
def test_learning_from_rewards_stores_what_the_model_wrote(method: str, client: OpenAI, taught: Taught) -> None:
    figures = taught(method)
    assert figures.steps == STEPS
    job_id = next(job.id for job in client.fine_tuning.jobs.list() if job.fine_tuned_model == figures.model)
    told: Any = client.get(f"/fine_tuning/jobs/{job_id}/rollouts", cast_to=object)
    assert told["data"] and all(each["tokens"] > 0 for each in told["data"])
    assert all(math.isfinite(each["reward"]) for each in told["data"])
    assert math.isfinite(figures.after["reward_mean"])


def test_the_exported_model_says_what_the_engine_says(
    client: OpenAI, taught: Taught, data: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from fettle.datasets.formats.render import Renderer

    name, folder = taught("supervised").model, tmp_path / "exported"
    env = {**os.environ, "FETTLE_DATA": str(data), "FETTLE_CATALOG": str(Settings().catalog_file)}
    command = [sys.executable, "-m", "worker.export", name, "--to", str(folder), "--dtype", "fp32"]
    subprocess.run(command, env=env, check=True, capture_output=True)
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
    renderer = Renderer(folder)
    prompt = renderer.prompt(QUESTION)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        said = network.generate(torch.tensor([prompt]), max_new_tokens=16, do_sample=False)[0, len(prompt) :]
    answer = client.chat.completions.create(
        model=name,
        messages=QUESTION,
        temperature=0,
        max_completion_tokens=16,  # type: ignore[arg-type]
    )
    assert answer.choices[0].message.content == renderer.decode(said.tolist()) != ""
    assert answer.usage is not None and answer.usage.prompt_tokens == len(prompt)

"""GRPO with the plain `openai` client: the starter blurts its answers; two reward functions make it reason first.

    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=fk_… python -m examples.grpo

No row shows what to say. `answer_correct` compares the answer with the row's own `answer`, `think_format` pays a little
for `<think>…</think><answer>…</answer>`. MODEL may be a base model, a tuned model (`ft:…`) or a checkpoint: then its
adapter goes on.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from openai import OpenAI

from examples import running
from examples.evaluation import evaluate
from examples.word_problems import Split, problems
from fettle.cli.terminal import printable

BASE = "starter"
REWARDS = ["answer_correct", {"name": "think_format", "weight": 0.2}]


def rows(count: int, split: Split, seed: int) -> Iterator[bytes]:
    """A prompt, and the answer for whoever grades it."""
    for problem in islice(problems(split, seed), count):
        yield json.dumps({"prompt": problem.question, "answer": str(problem.answer)}).encode() + b"\n"


def start(client: OpenAI, *, prompts: int = 400, seed: int = 1, model: str = BASE, **hyperparameters: Any) -> str:
    """The job's id."""
    unseen = rows(min(64, max(16, prompts // 8)), "held_out", seed)
    method: Any = {  # `reward_functions` and some hyperparameters are ours: the SDK's types know OpenAI's only
        "type": "reinforcement",
        "reinforcement": {
            "reward_functions": REWARDS,
            "hyperparameters": {"max_completion_tokens": 40, **hyperparameters},
        },
    }
    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=running.upload(client, "prompts.jsonl", b"".join(rows(prompts, "train", seed))),
        validation_file=running.upload(client, "held_out.jsonl", b"".join(unseen)),
        method=method,
        seed=seed,
    )
    return job.id


def rollouts(client: OpenAI, job_id: str, **query: Any) -> list[dict[str, Any]]:
    """A page of what the job learned from; `sort="-reward"` begins with the best."""
    answer: Any = client.get(f"/fine_tuning/jobs/{job_id}/rollouts", cast_to=object, options={"params": query})
    return list(answer["data"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=BASE, help="a base model, a tuned one or a checkpoint")
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--exam", type=int, default=100, help="held-out problems to ask both models")
    options = parser.parse_args()
    client = running.connect()
    job = running.wait(client, start(client, model=options.model, prompts=options.prompts, n_epochs=options.epochs))
    for rollout in rollouts(client, job.id, sort="-reward", limit=3):
        print(f"\nstep {rollout['step']}, reward {rollout['reward']:.2f}: {printable(rollout['completion'])}")
    print()
    exam = list(islice(problems("held_out", seed=2), options.exam))
    for model in (options.model, job.fine_tuned_model or ""):
        print(f"{evaluate(client, model, exam)}  {model}")


if __name__ == "__main__":
    main()

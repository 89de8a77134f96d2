"""GRPO with the plain `openai` client: the starter blurts its answers; two reward functions make it reason first.

    FETTLE_PORT=8000 python -m fettle up &
    python -m examples.grpo --base-url http://127.0.0.1:8000/v1 --key "$(cat .fettle/admin.key)"

No row shows what to say. `answer_correct` compares the answer with the row's own `answer`, `think_format` pays a little
for `<think>…</think><answer>…</answer>`.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from openai import OpenAI

from examples.word_problems import Split, problems

BASE = "starter"
REWARDS = ["answer_correct", {"name": "think_format", "weight": 0.2}]


def rows(count: int, split: Split, seed: int) -> Iterator[bytes]:
    """A prompt, and the answer for whoever grades it."""
    for problem in islice(problems(split, seed), count):
        yield json.dumps({"prompt": problem.question, "answer": str(problem.answer)}).encode() + b"\n"


def train(client: OpenAI, *, prompts: int = 800, seed: int = 1, model: str = BASE, **hyperparameters: Any) -> str:
    """Trains and waits; returns the job's id."""
    training = client.files.create(file=("prompts.jsonl", b"".join(rows(prompts, "train", seed))), purpose="fine-tune")
    held_out = client.files.create(file=("held_out.jsonl", b"".join(rows(64, "held_out", seed))), purpose="fine-tune")
    method: Any = {
        "type": "reinforcement",
        "reinforcement": {
            "reward_functions": REWARDS,
            "hyperparameters": {"max_completion_tokens": 40, **hyperparameters},
        },
    }
    job = client.fine_tuning.jobs.create(
        model=model, training_file=training.id, validation_file=held_out.id, method=method, seed=seed
    )
    while client.fine_tuning.jobs.retrieve(job.id).status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.5)
    return job.id


def rollouts(client: OpenAI, job_id: str, **query: Any) -> list[dict[str, Any]]:
    """A page of what the job learned from; `sort="-reward"` begins with the best."""
    answer: Any = client.get(f"/fine_tuning/jobs/{job_id}/rollouts", cast_to=object, options={"params": query})
    return list(answer["data"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--key", required=True)
    parser.add_argument("--prompts", type=int, default=800)
    options = parser.parse_args()
    client = OpenAI(base_url=options.base_url, api_key=options.key)
    job_id = train(client, prompts=options.prompts)
    for event in reversed(client.fine_tuning.jobs.list_events(job_id, limit=100).data):
        print(event.message)
    for rollout in rollouts(client, job_id, sort="-reward", limit=3):
        print(f"\nstep {rollout['step']}, reward {rollout['reward']:.2f}: {rollout['completion']}")
    print(f"\n{client.fine_tuning.jobs.retrieve(job_id).fine_tuned_model}")


if __name__ == "__main__":
    main()

"""RLHF through the plain `openai` client: from ranked answers to a reward model, and from it to a policy, in one job.

    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=fk_… python -m examples.rlhf

The starter blurts its answers. Whoever ranked them liked a right answer with its reasoning best, then a right answer,
and a wrong one least. No row says how to answer: the policy finds out what the reward model likes.
"""

import argparse
import json
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

from openai import OpenAI

from examples import running
from examples.word_problems import Problem, Split, problems
from fettle.cli.terminal import printable

BASE = "starter"
SLIPS = (-10, -9, -3, -2, -1, 1, 2, 3, 9, 10)  # by how much a wrong answer is wrong


def ranking(problem: Problem, rng: random.Random) -> dict[str, Any]:
    """Three responses in any order, and their numbers from the best to the worst."""
    wrong = problem.answer + rng.choice(SLIPS)
    ranked = [
        problem.row("reasoned")["completion"],
        problem.row("answer")["completion"],
        f"<answer>{wrong}</answer>",
    ]
    places = rng.sample(range(3), 3)  # where each of them stands
    return {
        "prompt": problem.question,
        "responses": [ranked[places.index(place)] for place in range(3)],
        "ranking": places,
    }


def rows(count: int, split: Split, seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for problem in islice(problems(split, seed), count):
        yield json.dumps(ranking(problem, rng)).encode() + b"\n"


def create(
    client: OpenAI,
    *,
    prompts: int = 320,
    held_out: int = 64,
    seed: int = 1,
    algorithm: str = "ppo",
    reward_model: dict[str, Any] | None = None,
    **hyperparameters: Any,
) -> str:
    """The job's id. reward_model: hyperparameters of phase 1; the others are of phase 2."""
    own = {"batch_size": 32} if algorithm == "ppo" else {"batch_size": 8, "group_size": 4}  # 32 completions an update
    method: Any = {  # ours: the SDK's types know OpenAI's methods only
        "type": "rlhf",
        "rlhf": {
            "algorithm": algorithm,
            "hyperparameters": {"max_completion_tokens": 40, "n_epochs": 3, **own, **hyperparameters},
            "reward_model_hyperparameters": {"n_epochs": 1, "batch_size": 16, **(reward_model or {})},
        },
    }
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=running.upload(client, "rankings.jsonl", b"".join(rows(prompts, "train", seed))),
        validation_file=running.upload(client, "held_out.jsonl", b"".join(rows(held_out, "held_out", seed))),
        seed=seed,
        method=method,
    )
    return job.id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=320)
    parser.add_argument("--epochs", type=int, default=3, help="over the prompts, of the policy")
    parser.add_argument("--algorithm", choices=["ppo", "rloo"], default="ppo")
    options = parser.parse_args()
    client = running.connect()
    job_id = create(client, prompts=options.prompts, algorithm=options.algorithm, n_epochs=options.epochs)
    done: Any = running.wait(client, job_id)  # prints the events of both phases
    found = running.evaluation(client, job_id)
    before, after, moved = found["base"]["reward_mean"], found["tuned"]["reward_mean"], found["tuned"]["kl"]
    print(f"\nReward model {done.to_dict()['method']['rlhf']['reward_model']}: the better one scores higher in")
    print(f"{found['reward_model']['tuned']['pairwise_accuracy']:.1%} of the held-out pairs.")
    print(f"Mean reward on the held-out prompts: {before:+.2f} → {after:+.2f}. 0 is the mean score of")
    print("completions that the base sampled for the training prompts, and 1 is their spread.")
    print(f"{done.fine_tuned_model} is {moved:z.1f} nats a completion away from the base.")
    for sample in found["samples"][:3]:
        print(f"\n{printable(sample['prompt'][-1]['content'])}")
        print(f"  base  ({sample['base_reward']:+.2f}) {printable(sample['base'])}")
        print(f"  tuned ({sample['tuned_reward']:+.2f}) {printable(sample['tuned'])}")


if __name__ == "__main__":
    main()

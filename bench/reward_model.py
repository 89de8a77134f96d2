"""How often a reward model on the starter scores the better of two responses higher, held out, three seeds.

python -m bench.reward_model
"""

import json
from statistics import mean
from typing import Any

from openai import OpenAI

from bench._server import server
from examples import running
from examples.preferences import dataset

SEEDS = (1, 2, 3)
ROWS, HELD_OUT = 240, 60


def main() -> None:
    with server() as client:
        training = running.upload(client, "rankings.jsonl", dataset("ranking", "train", ROWS))
        held_out = running.upload(client, "held_out.jsonl", dataset("ranking", "held_out", HELD_OUT))
        found = [evaluate(client, training, held_out, seed) for seed in SEEDS]
    accuracies = [one["tuned"]["pairwise_accuracy"] for one in found]
    figures = {
        "held_out_pairs": found[0]["rows"],
        "pairwise_percent": round(100 * mean(accuracies), 1),
        "worst_pairwise_percent": round(100 * min(accuracies), 1),
        "untrained_head_percent": round(100 * mean(one["base"]["pairwise_accuracy"] for one in found), 1),
    }
    print(json.dumps(figures))


def evaluate(client: OpenAI, training: str, held_out: str, seed: int) -> dict[str, Any]:
    method: Any = {"type": "reward_model", "reward_model": {"hyperparameters": {"n_epochs": 1, "batch_size": 32}}}
    job = client.fine_tuning.jobs.create(
        model="starter", training_file=training, validation_file=held_out, seed=seed, method=method
    )
    running.wait(client, job.id)
    return running.evaluation(client, job.id)


if __name__ == "__main__":
    main()

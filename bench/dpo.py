"""What DPO teaches the starter model: how often it prefers a reasoned answer to a blurted one, held out, three seeds.

python -m bench.dpo
"""

import json
from statistics import mean
from typing import Any

from openai import OpenAI

from bench._server import server
from examples import running
from examples.preferences import dataset

SEEDS = (1, 2, 3)
ROWS, HELD_OUT = 480, 200


def main() -> None:
    with server() as client:
        training = running.upload(client, "pairs.jsonl", dataset("pair", "train", ROWS))
        held_out = running.upload(client, "held_out.jsonl", dataset("pair", "held_out", HELD_OUT))
        found = [evaluate(client, training, held_out, seed) for seed in SEEDS]
    figures = {
        "held_out_pairs": HELD_OUT,
        "base_preference_percent": round(100 * found[0]["base"]["preference_accuracy"], 1),
        "tuned_preference_percent": round(100 * mean(one["tuned"]["preference_accuracy"] for one in found), 1),
        "worst_preference_percent": round(100 * min(one["tuned"]["preference_accuracy"] for one in found), 1),
        "tuned_reward_accuracy_percent": round(100 * mean(one["tuned"]["reward_accuracy"] for one in found), 1),
    }
    print(json.dumps(figures))


def evaluate(client: OpenAI, training: str, held_out: str, seed: int) -> dict[str, Any]:
    job = client.fine_tuning.jobs.create(
        model="starter",
        training_file=training,
        validation_file=held_out,
        seed=seed,
        method={"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 2, "batch_size": 16}}},
    )
    running.wait(client, job.id)
    return running.evaluation(client, job.id)


if __name__ == "__main__":
    main()

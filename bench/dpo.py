"""What DPO teaches the starter model: how often it prefers a reasoned answer to a blurted one, held out, three seeds.

python -m bench.dpo
"""

import json
from itertools import islice
from statistics import mean

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from bench._server import server
from examples import running
from examples.evaluation import evaluate as examine
from examples.preferences import dataset
from examples.word_problems import problems

SEEDS = (1, 2, 3)
ROWS, HELD_OUT = 480, 200
EXAM = 200


def main() -> None:
    exam = list(islice(problems("held_out", seed=99), EXAM))
    with server() as client:
        training = running.upload(client, "pairs.jsonl", dataset("pair", "train", ROWS))
        held_out = running.upload(client, "held_out.jsonl", dataset("pair", "held_out", HELD_OUT))
        jobs = [train(client, training, held_out, seed) for seed in SEEDS]
        found = [running.evaluation(client, job.id) for job in jobs]
        before = examine(client, "starter", exam)
        after = [examine(client, job.fine_tuned_model or "", exam) for job in jobs]
    figures = {
        "held_out_pairs": HELD_OUT,
        "base_preference_percent": round(100 * found[0]["base"]["preference_accuracy"], 1),
        "tuned_preference_percent": round(100 * mean(one["tuned"]["preference_accuracy"] for one in found), 1),
        "worst_preference_percent": round(100 * min(one["tuned"]["preference_accuracy"] for one in found), 1),
        "tuned_reward_accuracy_percent": round(100 * mean(one["tuned"]["reward_accuracy"] for one in found), 1),
        "base_reasoned_percent": round(100 * before.reasoned, 1),
        "tuned_reasoned_percent": round(100 * mean(score.reasoned for score in after), 1),
        "base_right_percent": round(100 * before.accuracy, 1),
        "tuned_right_percent": round(100 * mean(score.accuracy for score in after), 1),
    }
    print(json.dumps(figures))


def train(client: OpenAI, training: str, held_out: str, seed: int) -> FineTuningJob:
    job = client.fine_tuning.jobs.create(
        model="starter",
        training_file=training,
        validation_file=held_out,
        seed=seed,
        method={"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 2, "batch_size": 16}}},
    )
    return running.wait(client, job.id)


if __name__ == "__main__":
    main()

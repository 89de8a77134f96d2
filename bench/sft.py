"""What SFT with reasoning teaches the starter model: held-out accuracy and format, tuned against base, three seeds.

python -m bench.sft
"""

import json
from itertools import islice
from statistics import mean

from openai import OpenAI

from bench._server import server
from examples.demo import BASE
from examples.evaluation import Score, evaluate
from examples.running import wait
from examples.sft import dataset
from examples.word_problems import problems

EXAM = 500
SEEDS = (1, 2, 3)


def main() -> None:
    exam = list(islice(problems("held_out", seed=99), EXAM))
    with server() as client:
        training = client.files.create(file=("train.jsonl", dataset("train", 1200)), purpose="fine-tune").id
        base = evaluate(client, BASE, exam)
        show("base", base)
        tuned = []
        for seed in SEEDS:
            score = evaluate(client, train(client, training, seed), exam)
            show(f"tuned, seed {seed}", score)
            tuned.append(score)
    figures = {
        "held_out_problems": EXAM,
        "accuracy_gain_points": round(100 * (mean(score.accuracy for score in tuned) - base.accuracy), 1),
        "worst_gain_points": round(100 * (min(score.accuracy for score in tuned) - base.accuracy), 1),
        "format_percent": round(100 * mean(score.reasoned for score in tuned), 1),
    }
    print(json.dumps(figures))


def train(client: OpenAI, training_file: str, seed: int) -> str:
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=training_file,
        seed=seed,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 16}}},
    )
    return wait(client, job.id).fine_tuned_model or ""


def show(name: str, score: Score) -> None:
    print(f"{name:16} right {score.accuracy:6.1%}   reasoned {score.reasoned:6.1%}", flush=True)


if __name__ == "__main__":
    main()

"""What DPO teaches the starter model when the rejected responses are its own: three seeds, held out.

    python -m bench.dpo

Before: how often the base already prefers the reasoned right answer to what it says itself. Beside the preference, what
the models then say: the share of reasoned and of right answers to problems of another seed, greedily.
"""

import argparse
import json
from itertools import islice
from statistics import mean

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from bench._server import server
from examples import running
from examples.evaluation import evaluate as examine
from examples.preferences import against, lines
from examples.word_problems import problems

ROWS, HELD_OUT = 320, 150
EXAM = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    exam = list(islice(problems("held_out", seed=99), EXAM))
    with server() as client:
        training = running.upload(client, "pairs.jsonl", lines(against(client, "starter", "train", ROWS)))
        held_out = running.upload(client, "held_out.jsonl", lines(against(client, "starter", "held_out", HELD_OUT)))
        before = examine(client, "starter", exam)
        jobs = [train(client, training, held_out, seed) for seed in range(1, options.seeds + 1)]
        found = [running.evaluation(client, job.id) for job in jobs]
        after = [examine(client, job.fine_tuned_model or "", exam) for job in jobs]
    preferred = [one["tuned"]["preference_accuracy"] for one in found]
    figures = {
        "seeds": options.seeds,
        "held_out_pairs": found[0]["rows"],
        "base_preference_percent": percent(found[0]["base"]["preference_accuracy"]),
        "tuned_preference_percent": percent(mean(preferred)),
        "worst_preference_percent": percent(min(preferred)),
        "tuned_reward_accuracy_percent": percent(mean(one["tuned"]["reward_accuracy"] for one in found)),
        "base_reasoned_percent": percent(before.reasoned),
        "tuned_reasoned_percent": percent(mean(score.reasoned for score in after)),
        "base_right_percent": percent(before.accuracy),
        "tuned_right_percent": percent(mean(score.accuracy for score in after)),
        "worst_right_percent": percent(min(score.accuracy for score in after)),
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


def percent(share: float) -> float:
    return round(100 * share, 1)


if __name__ == "__main__":
    main()

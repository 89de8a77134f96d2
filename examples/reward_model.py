"""A reward model through the plain `openai` client, from rankings of four responses to a word problem.

    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=fk_… python -m examples.reward_model

What is right ranks above what is wrong, and then reasoned above blurted: shape alone does not decide.
"""

import argparse
from typing import Any

from openai import OpenAI

from examples import running
from examples.preferences import dataset


def train(client: OpenAI, model: str, rows: int, epochs: int) -> str:
    """The job's id, once it has succeeded."""
    method: Any = {  # ours: the SDK's types know OpenAI's methods only
        "type": "reward_model",
        "reward_model": {"hyperparameters": {"n_epochs": epochs, "batch_size": 16}},
    }
    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=running.upload(client, "rankings.jsonl", dataset("ranking", "train", rows)),
        validation_file=running.upload(client, "held_out.jsonl", dataset("ranking", "held_out", max(20, rows // 8))),
        seed=1,
        method=method,
    )
    return running.wait(client, job.id).id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    client = running.connect()
    job = client.fine_tuning.jobs.retrieve(train(client, options.model, options.rows, options.epochs))
    found = running.evaluation(client, job.id)
    print(f"{job.fine_tuned_model} scores the better response higher in {found['tuned']['pairwise_accuracy']:.1%}")
    print(f"of {found['rows']} held-out pairs; its head was right in {found['base']['pairwise_accuracy']:.1%} before.")


if __name__ == "__main__":
    main()

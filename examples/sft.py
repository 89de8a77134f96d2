"""Supervised fine-tuning with the plain `openai` client: the starter sees reasoned answers and learns to give them.

    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=fk_… python -m examples.sft

MODEL may be a base model, a tuned model (`ft:…`) or a checkpoint: then its adapter goes on.
"""

import argparse
import json
from itertools import islice

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from examples import running
from examples.evaluation import evaluate
from examples.word_problems import Split, problems


def dataset(split: Split, count: int, seed: int = 1) -> bytes:
    """A JSONL file of prompts and completions."""
    taken = islice(problems(split, seed), count)
    return "".join(json.dumps(problem.row("reasoned")) + "\n" for problem in taken).encode()


def train(client: OpenAI, model: str, rows: int, epochs: int) -> FineTuningJob:
    """The job, once it has succeeded."""
    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=running.upload(client, "train.jsonl", dataset("train", rows)),
        validation_file=running.upload(client, "held_out.jsonl", dataset("held_out", max(20, rows // 16))),
        suffix="reasoner",
        seed=1,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs, "batch_size": 16}}},
    )
    return running.wait(client, job.id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--exam", type=int, default=100, help="held-out problems to ask both models")
    options = parser.parse_args()
    client = running.connect()
    job = train(client, options.model, options.rows, options.epochs)
    found = running.evaluation(client, job.id)
    print(f"\nvalidation loss {found['base']['loss']:.3f} before, {found['tuned']['loss']:.3f} after")
    exam = list(islice(problems("held_out", seed=2), options.exam))
    for model in (options.model, job.fine_tuned_model or ""):
        print(f"{evaluate(client, model, exam)}  {model}")


if __name__ == "__main__":
    main()

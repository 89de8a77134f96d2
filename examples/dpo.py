"""DPO through the plain `openai` client: the starter learns to prefer reasoned answers to those it gives itself.

    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=fk_… python -m examples.dpo

The model is asked first: its own answers are the rejected ones, as when people correct what a model says.
MODEL may be a base model, a tuned model (`ft:…`) or a checkpoint: then its adapter goes on, and is the reference.
"""

import argparse
from itertools import islice

from openai import OpenAI

from examples import running
from examples.evaluation import evaluate
from examples.preferences import against, lines
from examples.word_problems import problems


def train(client: OpenAI, model: str, rows: int, epochs: int) -> str:
    """The job's id, once it has succeeded."""
    pairs = lines(against(client, model, "train", rows))
    held_out = lines(against(client, model, "held_out", max(20, rows // 8)))
    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=running.upload(client, "pairs.jsonl", pairs),
        validation_file=running.upload(client, "held_out.jsonl", held_out),
        seed=1,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1, "n_epochs": epochs, "batch_size": 16}}},
    )
    return running.wait(client, job.id).id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--exam", type=int, default=100, help="held-out problems to ask both models")
    options = parser.parse_args()
    client = running.connect()
    job = client.fine_tuning.jobs.retrieve(train(client, options.model, options.rows, options.epochs))
    found = running.evaluation(client, job.id)
    for who in ("base", "tuned"):
        print(f"{who:6} prefers the better response in {found[who]['preference_accuracy']:.1%} of held-out pairs")
    exam = list(islice(problems("held_out", seed=2), options.exam))
    for model in (options.model, job.fine_tuned_model or ""):
        print(f"{evaluate(client, model, exam)}  {model}")


if __name__ == "__main__":
    main()

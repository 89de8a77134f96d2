"""DPO through the plain `openai` client: the starter model learns to prefer reasoned answers to blurted ones.

    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=fk_… python -m examples.dpo

MODEL may be a base model, a tuned model (`ft:…`) or a checkpoint: then its adapter goes on, and is the reference.
"""

import argparse

from openai import OpenAI

from examples import running
from examples.preferences import dataset


def train(client: OpenAI, model: str, rows: int, epochs: int) -> str:
    """The job's id, once it has succeeded."""
    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=running.upload(client, "pairs.jsonl", dataset("pair", "train", rows)),
        validation_file=running.upload(client, "held_out.jsonl", dataset("pair", "held_out", max(20, rows // 8))),
        seed=1,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1, "n_epochs": epochs, "batch_size": 16}}},
    )
    return running.wait(client, job.id).id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    client = running.connect()
    job = client.fine_tuning.jobs.retrieve(train(client, options.model, options.rows, options.epochs))
    found = running.evaluation(client, job.id)
    for who in ("base", "tuned"):
        print(f"{who:6} prefers the better response in {found[who]['preference_accuracy']:.1%} of held-out pairs")
    question = "Tom has 12 apples, buys 30 more and gives 5 to Ana. How many apples does Tom have now?"
    for model in (options.model, job.fine_tuned_model or ""):
        reply = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": question}], temperature=0, max_completion_tokens=96
        )
        print(f"{model}: {reply.choices[0].message.content}")


if __name__ == "__main__":
    main()

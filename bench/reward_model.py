"""How often a reward model on the starter scores the better of two responses higher, held out, three seeds.

    python -m bench.reward_model

The rankings go by correctness first and by shape second; beside the whole, each kind of pair by itself:

- shape: both right or both wrong, one reasoned and one blurted;
- correctness, reasoned and correctness, blurted: of the same shape, one right and one with a slip of arithmetic;
- both agree: reasoned and right against blurted and wrong;
- against shape: blurted and right against reasoned and wrong.
"""

import argparse
import io
import json
import tempfile
import zipfile
from collections import defaultdict
from itertools import combinations, islice
from statistics import mean
from typing import Any

import httpx
import torch
from openai import OpenAI
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from bench._server import server
from examples import running
from examples.evaluation import ANSWER
from examples.preferences import lines, rows
from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER

ROWS, HELD_OUT = 400, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    unseen = list(islice(rows("ranking", "held_out", 1), HELD_OUT))
    found, kinds = [], []
    with server() as client:
        training = running.upload(client, "rankings.jsonl", lines(islice(rows("ranking", "train", 1), options.rows)))
        held_out = running.upload(client, "held_out.jsonl", lines(iter(unseen)))
        for seed in range(1, options.seeds + 1):
            job_id = train(client, training, held_out, seed, options.epochs)
            found.append(running.evaluation(client, job_id))
            kinds.append(by_kind(client, job_id, unseen))
    accuracies = [one["tuned"]["pairwise_accuracy"] for one in found]
    figures = {
        "seeds": options.seeds,
        "rankings": options.rows,
        "held_out_pairs": found[0]["rows"],
        "pairwise_percent": percent(accuracies),
        "worst_pairwise_percent": percent([min(accuracies)]),
        "untrained_head_percent": percent([one["base"]["pairwise_accuracy"] for one in found]),
        "percent_by_kind": {name: percent([one[name] for one in kinds]) for name in kinds[0]},
    }
    print(json.dumps(figures))


def percent(shares: list[float]) -> float:
    return round(100 * mean(shares), 1)


def train(client: OpenAI, training: str, held_out: str, seed: int, epochs: int) -> str:
    method: Any = {"type": "reward_model", "reward_model": {"hyperparameters": {"n_epochs": epochs, "batch_size": 16}}}
    job = client.fine_tuning.jobs.create(
        model="starter", training_file=training, validation_file=held_out, seed=seed, method=method
    )
    return running.wait(client, job.id).id


def by_kind(client: OpenAI, job_id: str, rankings: list[dict[str, Any]]) -> dict[str, float]:
    """Scored by the adapter that a user downloads, loaded as docs/preferences.md says."""
    headers = {"Authorization": f"Bearer {client.api_key}"}
    archive = httpx.get(f"{client.base_url}fine_tuning/jobs/{job_id}/adapter", headers=headers).content
    hits: dict[str, list[bool]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        zipfile.ZipFile(io.BytesIO(archive)).extractall(folder)
        base = AutoModelForSequenceClassification.from_pretrained(STARTER, num_labels=1, dtype=torch.float32)
        network = PeftModel.from_pretrained(base, folder).eval()
        renderer = Renderer(STARTER)
        for row in rankings:
            best_first = [row["responses"][place] for place in row["ranking"]]
            scores = [score(network, renderer, row["prompt"], response) for response in best_first]
            for (better, high), (worse, low) in combinations(zip(best_first, scores, strict=True), 2):
                hits[kind(row, better, worse)].append(high > low)
    return {name: mean(hits[name]) for name in sorted(hits)}


@torch.no_grad()
def score(network: PeftModel, renderer: Renderer, prompt: str, response: str) -> float:
    ids = renderer.render([{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]).ids
    ids = ids[: len(ids) - ids[::-1].index(renderer.eos_id)]
    return float(network(torch.tensor([ids])).logits)


def kind(row: dict[str, Any], better: str, worse: str) -> str:
    """Of a pair of a ranking, whose first response is right."""
    best = answer(row["responses"][row["ranking"][0]])
    right = [answer(response) == best for response in (better, worse)]
    reasoned = ["<think>" in response for response in (better, worse)]
    if right[0] == right[1]:
        return "shape"
    if reasoned[0] == reasoned[1]:
        return f"correctness, {'reasoned' if reasoned[0] else 'blurted'}"
    return "both agree" if reasoned[0] else "against shape"


def answer(response: str) -> str:
    found = ANSWER.search(response)
    return found[1] if found else ""


if __name__ == "__main__":
    main()

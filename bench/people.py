"""People's votes: how much of a taste a reward model learns from noisy annotators, and what RLHF then does with it.

    python -m bench.people                 # all parts
    python -m bench.people --parts noise

- noise: 20 annotators of one taste, three votes on each of 320 items; each annotator swaps every two neighbours of a
  ranking with the probability 0.2. Two reward models: one learns from an export of these votes, one from votes without
  noise. Prints how often each scores the better of two held-out responses higher, and the ratio of the two.
- votes: two annotators with invitations vote on the same 200 items at once. Prints how many votes were kept, and how
  long an annotator waits for the next item.
- rlhf: 10 items with answers of the starter are ranked through the API, and 310 rankings of the same taste imported.
  Prints how often the starter's answers are what the votes prefer, before and after RLHF from these votes.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from statistics import quantiles
from typing import Any

import httpx
from openai import OpenAI

from bench._server import server
from bench.rlhf import figures
from examples import rlhf, running
from examples.evaluation import REASONED, right
from examples.word_problems import Problem, problems

ANNOTATORS, VOTES_PER_ITEM, NOISE = 20, 3, 0.2
RANKINGS, HELD_OUT = 320, 64
PICKED = 200  # items that two annotators vote on at once
OWN, IMPORTED = 10, 310

PATH = "comparisons"

Line = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with server() as client:
        for name in options.parts:
            print(json.dumps({"part": name, **PARTS[name](People(client), options.seed)}), flush=True)


class People:
    """The routes of comparisons, which OpenAI's client does not have."""

    def __init__(self, client: OpenAI) -> None:
        self.client = client
        self.http = self.as_annotator(client.api_key)

    def as_annotator(self, token: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=str(self.client.base_url), headers=headers, timeout=120)

    def create(self, **body: Any) -> str:
        made: Line = self.http.post(PATH, json={"name": "bench", **body}).raise_for_status().json()
        while made["status"] == "generating":
            time.sleep(0.2)
            made = self.http.get(f"{PATH}/{made['id']}").raise_for_status().json()
        if made["status"] != "ready":
            raise SystemExit(f"{made['id']}: {made['error']}")
        return str(made["id"])

    def load(self, comparison: str, rows: Sequence[Line]) -> None:
        content = "\n".join(map(json.dumps, rows)).encode()
        form = {"annotator": "simulated"}
        answer = self.http.post(f"{PATH}/{comparison}/import", files={"file": ("votes.jsonl", content)}, data=form)
        done = answer.raise_for_status().json()
        if done["votes"] != len(rows):
            raise SystemExit(f"{done['votes']} of {len(rows)} votes were imported: {done['left_out']}")

    def votes(self, comparison: str) -> list[Line]:
        found: list[Line] = []
        while True:
            after = {"after": found[-1]["id"]} if found else {}
            page = self.http.get(f"{PATH}/{comparison}/votes", params={"limit": 100, **after}).raise_for_status().json()
            found += page["data"]
            if not page["has_more"]:
                return found

    def train(self, comparison: str, validation: str, seed: int, method: Line) -> str:
        body = {"model": "starter", "validation_file": validation, "seed": seed, "method": method}
        return str(self.http.post(f"{PATH}/{comparison}/train", json=body).raise_for_status().json()["id"])


def ordered(row: Line) -> list[str]:
    return [row["responses"][number] for number in row["ranking"]]


def noisy(ranked: Sequence[str], rng: random.Random) -> list[str]:
    found = list(ranked)
    for place in range(len(found) - 1):
        if rng.random() < NOISE:
            found[place], found[place + 1] = found[place + 1], found[place]
    return found


def noise(people: People, seed: int) -> Line:
    rng = random.Random(seed)
    taste = [json.loads(line) for line in rlhf.rows(RANKINGS, "train", seed)]
    held_out = running.upload(people.client, "held_out.jsonl", b"".join(rlhf.rows(HELD_OUT, "held_out", seed)))
    votes = [
        {"prompt": row["prompt"], "ranked": noisy(ordered(row), rng), "annotator": f"annotator {number}"}
        for row in taste
        for number in rng.sample(range(ANNOTATORS), VOTES_PER_ITEM)
    ]
    crowd, alone = (people.create(models=[], prompts=[]) for _ in range(2))
    people.load(crowd, votes)
    people.load(alone, [{"prompt": row["prompt"], "ranked": ordered(row)} for row in taste])
    results = people.http.get(f"{PATH}/{crowd}/results").raise_for_status().json()
    method = {"type": "reward_model", "reward_model": {"hyperparameters": {"n_epochs": 1, "batch_size": 16}}}
    agreement = {}
    for name, comparison in (("noisy", crowd), ("noise_free", alone)):
        job_id = people.train(comparison, held_out, seed, method)
        running.wait(people.client, job_id)
        agreement[name] = running.evaluation(people.client, job_id)["tuned"]["pairwise_accuracy"]
    return {
        "annotators": len(results["annotators"]),
        "votes": results["votes"],
        "alpha": round(results["alpha"], 2),
        "held_out_agreement_percent": {name: round(100 * share, 1) for name, share in agreement.items()},
        "ratio": round(agreement["noisy"] / agreement["noise_free"], 3),
    }


def votes(people: People, seed: int) -> Line:
    comparison = people.create(
        models=["starter"],
        prompts=[problem.question for problem in islice(problems("train", seed), PICKED)],
        n=2,
        overlap="full",
        sampling={"temperature": 1.5, "max_completion_tokens": 12},
        seed=seed,
    )
    ready = people.http.get(f"{PATH}/{comparison}").json()["progress"]["ready"]
    with ThreadPoolExecutor(2) as pool:
        waits = [wait for each in pool.map(lambda name: vote_on_all(people, comparison, name), "ab") for wait in each]
    kept = people.votes(comparison)
    return {
        "items": ready,
        "votes_sent": len(waits),
        "votes_kept": len(kept),
        "distinct": len({(vote["annotator_id"], vote["item_id"]) for vote in kept}),
        "next_ms": {"p50": round(quantiles(waits, n=100)[49]), "p99": round(quantiles(waits, n=100)[98])},
    }


def vote_on_all(people: People, comparison: str, name: str) -> list[float]:
    """Milliseconds that each item took to come."""
    token = people.http.post(f"{PATH}/{comparison}/annotators", json={"name": name}).raise_for_status().json()["token"]
    waits: list[float] = []
    with people.as_annotator(token) as annotator:
        while True:
            began = time.monotonic()
            item = patiently(lambda: annotator.get(f"{PATH}/{comparison}/next"))["item"]
            if item is None:
                return waits
            waits.append(1000 * (time.monotonic() - began))
            ballot = {"item_id": item["id"], "ranking": [response["id"] for response in item["responses"]]}
            patiently(lambda: annotator.post(f"{PATH}/{comparison}/votes", json=ballot))  # noqa: B023 — called at once


def patiently(call: Callable[[], httpx.Response]) -> Line:
    """The rate of an invitation is meant for people."""
    while (answer := call()).status_code == 429:
        time.sleep(int(answer.headers["retry-after"]))
    found: Line = answer.raise_for_status().json()
    return found


def learned(people: People, seed: int) -> Line:
    asked = {problem.question: problem for problem in islice(problems("train", seed + 1000), OWN)}
    comparison = people.create(
        models=["starter"],
        prompts=[*asked],
        n=4,
        sampling={"temperature": 1.3, "max_completion_tokens": 40},
        seed=seed,
    )
    while (item := people.http.get(f"{PATH}/{comparison}/next").raise_for_status().json()["item"]) is not None:
        ballot = {"item_id": item["id"], "ranking": by_taste(asked[item["prompt"][-1]["content"]], item["responses"])}
        people.http.post(f"{PATH}/{comparison}/votes", json=ballot).raise_for_status()
    simulated = [json.loads(line) for line in rlhf.rows(IMPORTED, "train", seed)]
    people.load(comparison, [{"prompt": row["prompt"], "ranked": ordered(row)} for row in simulated])
    held_out = running.upload(people.client, "held_out.jsonl", b"".join(rlhf.rows(HELD_OUT, "held_out", seed)))
    method = {
        "type": "rlhf",
        "rlhf": {
            "algorithm": "ppo",
            "hyperparameters": {"max_completion_tokens": 40, "n_epochs": 3, "batch_size": 32},
            "reward_model_hyperparameters": {"n_epochs": 1, "batch_size": 16},
        },
    }
    found = figures(people.client, people.train(comparison, held_out, seed, method))
    named = ("accuracy_percent", "reasoned_percent", "held_out_reward", "pairwise_percent", "seconds")
    return {"rankings": OWN + IMPORTED, **{name: found[name] for name in named}}


def by_taste(problem: Problem, responses: Sequence[Line]) -> list[list[str]]:
    """Ids: a right answer with its reasoning is best, then any right answer; the others tie."""
    levels: dict[int, list[str]] = {}
    for response in responses:
        correct = right(problem, response["text"])
        reasoned = REASONED.fullmatch(response["text"].strip()) is not None
        levels.setdefault(-(correct + (correct and reasoned)), []).append(response["id"])
    return [levels[level] for level in sorted(levels)]


PARTS: dict[str, Callable[[People, int], Line]] = {"noise": noise, "votes": votes, "rlhf": learned}


if __name__ == "__main__":
    main()

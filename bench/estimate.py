"""Estimated against measured time of jobs on the starter: three methods, three seeds, each job larger than those known.

    python -m bench.estimate

Of each method one small job runs first, so that there is a speed to go by. Then each seed's job is estimated before it
is created. The estimate includes loading, checkpoints and publishing; time in the queue is left out of both.
"""

import argparse
import json
import os
from typing import Any

from openai import OpenAI

from bench._server import server
from examples import grpo, preferences, sft
from examples.running import upload

WITHIN = 0.3
TOKENS = 40  # of a completion
METHODS = ("supervised", "dpo", "reinforcement")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the jobs; smaller ones end sooner")
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {name: [] for name in METHODS}
    inside = 0
    with server() as client:
        for name in METHODS:
            ended(client, body(client, name, round(160 * options.scale), 0))
            for seed in range(1, options.seeds + 1):
                wanted = body(client, name, round(320 * options.scale), seed)
                found: Any = client.post("/fine_tuning/estimate", body=wanted, cast_to=object)
                took = ended(client, wanted)
                seconds = found["seconds"]
                ratios[name].append(seconds["likely"] / took)
                inside += seconds["low"] <= took <= seconds["high"]
                load = os.getloadavg()[0]
                print(
                    f"{name:14} seed {seed}   estimated {seconds['likely']:6.1f} s ({seconds['low']:.1f} to "
                    f"{seconds['high']:.1f})   took {took:6.1f} s   ratio {ratios[name][-1]:.2f}   load {load:.1f}",
                    flush=True,
                )
    every = [ratio for values in ratios.values() for ratio in values]
    figures = {
        "jobs": len(every),
        "within_30_percent": sum(abs(ratio - 1) <= WITHIN for ratio in every),
        "inside_interval": inside,
        **{f"{name}_ratios": [round(ratio, 2) for ratio in values] for name, values in ratios.items()},
    }
    print(json.dumps(figures))


def body(client: OpenAI, name: str, rows: int, seed: int) -> dict[str, Any]:
    """Of a job with about that many rows, 16 a step."""
    shared: dict[str, Any] = {"n_epochs": 1, "batch_size": 16}
    extra: dict[str, Any] = {}
    if name == "supervised":
        content, shared["n_epochs"] = sft.dataset("train", 2 * rows, seed + 1), 2
    elif name == "dpo":
        content = preferences.dataset("pair", "train", rows, seed + 1)
    else:
        content = b"".join(grpo.rows(rows // 2, "train", seed + 1))
        extra = {"reward_functions": grpo.REWARDS}
        shared |= {"group_size": 8, "max_completion_tokens": TOKENS}
    return {
        "model": "starter",
        "training_file": upload(client, "train.jsonl", content),
        "seed": seed,
        "method": {"type": name, name: {**extra, "hyperparameters": shared}},
    }


def ended(client: OpenAI, wanted: dict[str, Any]) -> float:
    """Seconds that the job took, from its claim to its end."""
    made: Any = client.post("/fine_tuning/jobs", body=wanted, cast_to=object)
    job_id = made["id"]
    client.get(f"/fine_tuning/jobs/{job_id}/events?stream=true", cast_to=str)  # until it ends
    job: Any = client.get(f"/fine_tuning/jobs/{job_id}", cast_to=object)
    if job["status"] != "succeeded":
        raise SystemExit(f"The job {job['status']}: {job['error']}")
    return float(job["measured"]["seconds"])


if __name__ == "__main__":
    main()

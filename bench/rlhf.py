"""RLHF on the starter: a reward model from rankings, then PPO against it; what both have learned, held out.

    python -m bench.rlhf                    # one seed, 320 rankings
    python -m bench.rlhf --algorithm rloo

Prints how often the reward model scores the better response higher; the policy's reward in spreads of the base's own
scores, by step; the highest KL of a step, nats a completion; and the true accuracy and share of reasoned answers before
and after, asked through the engine, greedily.
"""

import argparse
import json
import time
from itertools import islice
from typing import Any

from openai import OpenAI

from bench._server import server
from examples import rlhf, running
from examples.evaluation import evaluate
from examples.word_problems import problems

EXAM, EXAM_SEED = 200, 77  # another seed than any job's validation file
SHOWN_EVERY = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--prompts", type=int, default=320)
    parser.add_argument("--algorithm", choices=["ppo", "rloo"], default="ppo")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the policy")
    parser.add_argument("--set-reward-model", nargs="*", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    with server() as client:
        for seed in range(1, options.seeds + 1):
            job_id = rlhf.create(
                client,
                prompts=options.prompts,
                seed=seed,
                algorithm=options.algorithm,
                reward_model=given(options.set_reward_model),
                **given(options.set),
            )
            print(json.dumps({"seed": seed, **figures(client, job_id)}), flush=True)


def given(pairs: list[str]) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in (pair.split("=") for pair in pairs)}


def figures(client: OpenAI, job_id: str) -> dict[str, Any]:
    began = time.monotonic()
    while (job := client.fine_tuning.jobs.retrieve(job_id)).status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.5)
    if job.fine_tuned_model is None:
        raise SystemExit(f"{job_id}: {job.error}")
    seconds = time.monotonic() - began
    found = running.evaluation(client, job_id)
    table: Any = client.get(f"/fine_tuning/jobs/{job_id}/metrics", cast_to=object)
    columns = table["columns"]
    policy = [row for row, phase in enumerate(columns["phase"]) if phase == "policy"]
    rewards, kl = ([columns[name][row] for row in policy] for name in ("train_reward_mean", "kl"))
    exam = list(islice(problems("held_out", EXAM_SEED), EXAM))
    before, after = evaluate(client, rlhf.BASE, exam), evaluate(client, job.fine_tuned_model, exam)
    return {
        "pairwise_percent": round(100 * found["reward_model"]["tuned"]["pairwise_accuracy"], 1),
        "held_out_pairs": found["reward_model"]["rows"],
        "reward_by_step": [round(reward, 2) for reward in rewards[::SHOWN_EVERY]],
        "kl_by_step": [round(nats, 1) for nats in kl[::SHOWN_EVERY]],
        "held_out_reward": [round(found[who]["reward_mean"], 2) for who in ("base", "tuned")],
        "highest_kl": round(max(kl), 2),
        "evaluated_kl": round(found["tuned"]["kl"], 2),
        "accuracy_percent": [round(100 * score.accuracy, 1) for score in (before, after)],
        "reasoned_percent": [round(100 * score.reasoned, 1) for score in (before, after)],
        "seconds": round(seconds, 1),
        "steps": [len(columns["step"]) - len(policy), len(policy)],
    }


if __name__ == "__main__":
    main()

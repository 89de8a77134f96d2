"""Reinforcement with and without a calculator, on products of three digits that the starter cannot do in its head.

    python -m bench.tools
    python -m bench.tools --prompts 400 --exam 200

Both jobs go on from one lesson (300 products of two digits, a third of them without the tool), take the same prompts,
rewards, seed and number of steps, and differ in `tools` alone. The exam is asked through the API, greedily, on products
that no job has seen; the benchmark carries out the calls, as any client does. Seconds: from the job's creation to its
end, on the wall.
"""

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

from openai import OpenAI

from bench._server import server
from examples import tools

SEED = 1
EXAM_SEED = 77


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--exam", type=int, default=100)
    options = parser.parse_args()
    trained = set(tools.products(options.prompts, SEED))
    exam = [each for each in tools.products(options.exam + 20, EXAM_SEED) if each not in trained][: options.exam]
    figures: dict[str, Any] = {"prompts": options.prompts, "exam": len(exam)}
    with server() as client:
        taught, seconds = wait(client, tools.teach(client, seed=SEED))
        print(f"{'':24}{'before':>8}{'after':>8}{'calls, first step':>19}{'last':>7}{'failed':>8}{'wall':>9}")
        for name, offered in (("with the tool", True), ("without", False)):
            before = tools.right(client, taught, exam, tools=offered)
            job = tools.start(
                client, taught, tools=offered, prompts=options.prompts, seed=SEED, batch_size=8, group_size=4
            )
            model, seconds = wait(client, job)
            after = tools.right(client, model, exam, tools=offered)
            steps = metrics(client, job)
            calls = steps.get("tools/call_frequency") or [0.0]
            failed = steps.get("tools/failure_frequency") or [0.0]
            print(
                f"{name:24}{before:8.1%}{after:8.1%}{calls[0]:19.2f}{calls[-1]:7.2f}{failed[-1]:8.1%}{seconds:7.1f} s",
                flush=True,
            )
            key = "with" if offered else "without"
            figures |= {
                f"{key}_before_percent": percent(before),
                f"{key}_after_percent": percent(after),
                f"{key}_calls_first_step": round(calls[0], 2),
                f"{key}_calls_last_step": round(calls[-1], 2),
                f"{key}_steps": len(steps["train_reward_mean"]),
                f"{key}_wall_seconds": round(seconds, 1),
            }
    figures["gained_points"] = round(figures["with_after_percent"] - figures["without_after_percent"], 1)
    print(json.dumps(figures))


def wait(client: OpenAI, job_id: str) -> tuple[str, float]:
    """The model, and the seconds until it was there."""
    began = time.monotonic()
    while (job := client.fine_tuning.jobs.retrieve(job_id)).status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.5)
    if job.fine_tuned_model is None:
        raise SystemExit(f"{job_id}: {job.error}")
    return job.fine_tuned_model, time.monotonic() - began


def metrics(client: OpenAI, job_id: str) -> Mapping[str, list[float]]:
    answer = client.get(f"/fine_tuning/jobs/{job_id}/metrics", cast_to=dict[str, dict[str, list[float | None]]])
    columns = answer["columns"]
    return {name: [value for value in values if value is not None] for name, values in columns.items()}


def percent(share: float) -> float:
    return round(100 * share, 1)


if __name__ == "__main__":
    main()

"""GRPO on the starter, not after SFT: the base blurts its answers, and by rewards alone it learns to reason first.

    python -m bench.grpo                  # three seeds, 800 prompts
    python -m bench.grpo --seeds 1 --prompts 10

Prints held-out accuracy and the share of reasoned answers before and after, each asked through the engine, greedily,
and the wall time of each job. 16 prompts × 8 completions a step, 40 tokens each.
"""

import argparse
import statistics
import time
from itertools import islice

from bench._server import server
from examples import grpo
from examples.evaluation import Score, evaluate
from examples.word_problems import problems

EXAM = 200
EXAM_SEED = 77  # another one than any job's validation file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    exam = list(islice(problems("held_out", EXAM_SEED), EXAM))
    with server() as client:
        before = evaluate(client, grpo.BASE, exam)
        show("base", before, 0.0)
        gains: list[float] = []
        for seed in range(1, options.seeds + 1):
            began = time.monotonic()
            job_id = grpo.train(client, prompts=options.prompts, seed=seed, n_epochs=options.epochs)
            seconds = time.monotonic() - began
            job = client.fine_tuning.jobs.retrieve(job_id)
            if job.fine_tuned_model is None:
                raise SystemExit(f"{job_id}: {job.error}")
            after = evaluate(client, job.fine_tuned_model, exam)
            show(f"seed {seed}", after, seconds)
            gains.append(after.accuracy - before.accuracy)
        print(f"accuracy gained, mean of {len(gains)}: {100 * statistics.mean(gains):+.1f} points")


def show(who: str, score: Score, seconds: float) -> None:
    print(f"{who:8} accuracy {score.accuracy:6.1%}  reasoned {score.reasoned:6.1%}  {seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    main()

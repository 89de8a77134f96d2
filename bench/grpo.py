"""GRPO on the starter, not after SFT: the base blurts its answers, and by rewards alone it learns to reason first.

    python -m bench.grpo                                # three seeds of 400 prompts, then ten prompts only
    python -m bench.grpo --seeds 1 --no-ten

Rewards: `answer_correct`, and a fifth of `think_format`. 16 prompts × 8 completions a step, 40 tokens each, at most.
Accuracy and the share of reasoned answers are asked through the engine, greedily, on problems that no job has seen.
Seconds: from the job's creation to its end, evaluation included; on the wall, and of CPU by the whole service.
"""

import argparse
import json
import time
from dataclasses import dataclass
from itertools import islice
from statistics import mean

from openai import OpenAI

from bench._server import cpu_seconds, server
from examples import grpo
from examples.evaluation import Score, evaluate
from examples.word_problems import problems

EXAM = 200
EXAM_SEED = 77  # another one than any job's validation file
PROMPTS, FEW = 400, 10
HEAD = f"{'':12}{'right':>8}{'gained':>9}{'reasoned':>10}{'reward, first step':>20}{'last':>7}{'wall':>9}{'CPU':>9}"


@dataclass(frozen=True)
class Run:
    """rewards: the mean of each step's completions."""

    score: Score
    rewards: list[float]
    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--ten", action=argparse.BooleanOptionalAction, default=True, help="also from ten prompts only")
    options = parser.parse_args()
    exam = list(islice(problems("held_out", EXAM_SEED), EXAM))
    with server() as client:
        base = evaluate(client, grpo.BASE, exam)
        print(HEAD)
        print(f"{'base':12}{base.accuracy:8.1%}{'':9}{base.reasoned:10.1%}", flush=True)
        runs = []
        for seed in range(1, options.seeds + 1):
            runs.append(train(client, options.prompts, seed, n_epochs=1))
            show(f"seed {seed}", runs[-1], base)
        middle = Run(
            Score(mean(run.score.accuracy for run in runs), mean(run.score.reasoned for run in runs)),
            [mean(run.rewards[end] for run in runs) for end in (0, -1)],
            mean(run.wall for run in runs),
            mean(run.cpu for run in runs),
        )
        show(f"mean of {len(runs)}", middle, base)
        figures = {
            "prompts": options.prompts,
            "base_right_percent": percent(base.accuracy),
            "tuned_right_percent": percent(middle.score.accuracy),
            "gained_points_mean": percent(middle.score.accuracy - base.accuracy),
            "gained_points_worst": percent(min(run.score.accuracy for run in runs) - base.accuracy),
            "base_reasoned_percent": percent(base.reasoned),
            "tuned_reasoned_percent": percent(middle.score.reasoned),
            "worst_wall_seconds": round(max(run.wall for run in runs), 1),
            "worst_cpu_seconds": round(max(run.cpu for run in runs), 1),
        }
        if options.ten:
            few = train(client, FEW, 1)
            show(f"{FEW} prompts", few, base)
            figures |= {
                "ten_prompts_reward_first_step": round(few.rewards[0], 2),
                "ten_prompts_reward_last_step": round(few.rewards[-1], 2),
                "ten_prompts_right_percent": percent(few.score.accuracy),
            }
    print(json.dumps(figures))


def train(client: OpenAI, prompts: int, seed: int, **hyperparameters: int) -> Run:
    began, spent = time.monotonic(), cpu_seconds()
    job_id = grpo.start(client, prompts=prompts, seed=seed, **hyperparameters)
    while (job := client.fine_tuning.jobs.retrieve(job_id)).status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.5)
    wall, cpu = time.monotonic() - began, cpu_seconds() - spent
    if job.fine_tuned_model is None:
        raise SystemExit(f"{job_id}: {job.error}")
    answer = client.get(f"/fine_tuning/jobs/{job_id}/metrics", cast_to=dict[str, dict[str, list[float | None]]])
    rewards = [value for value in answer["columns"]["train_reward_mean"] if value is not None]
    exam = list(islice(problems("held_out", EXAM_SEED), EXAM))
    return Run(evaluate(client, job.fine_tuned_model, exam), rewards, wall, cpu)


def show(who: str, run: Run, base: Score) -> None:
    score = run.score
    print(
        f"{who:12}{score.accuracy:8.1%}{percent(score.accuracy - base.accuracy):+9.1f}{score.reasoned:10.1%}"
        f"{run.rewards[0]:20.2f}{run.rewards[-1]:7.2f}{run.wall:7.1f} s{run.cpu:7.1f} s",
        flush=True,
    )


def percent(share: float) -> float:
    return round(100 * share, 1)


if __name__ == "__main__":
    main()

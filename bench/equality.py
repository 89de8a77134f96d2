"""The service's training child against a bare TRL script, same seed and arguments: equal at every step, and how fast.

    python -m bench.equality

DPO, reward model and GRPO, each by both in a process of its own. The bare scripts are `bench/_bare.py`: stock trainers
on texts. Compared are loss and gradient norm, and of GRPO the reward as well, of every step of the first epoch: the
largest difference, relative to the series' mean. The child's rewards come from the service's own functions, the
script's from two lines of its own.

GRPO is shown twice, because the child draws its completions through a sampler of ours, which takes other random numbers
than `generate` does:
  by generate    the child is made to draw by TRL's `generate` too: both draw for themselves, and draw the same
  by our cache   the child as it is; the bare script is handed the child's completions, by TRL's `rollout_func`

Speed is tokens by CPU second of `trainer.train()`, one thread, the child over the script. By our cache it is against
the script that draws by `generate`.
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable, Sequence
from itertools import islice
from statistics import mean
from typing import Any

from bench import _bare, _child
from bench._child import Line, Run
from examples import grpo, preferences

TOLERANCE = 1e-3
RATE = 1e-3
OURS = {"loss": "train_loss", "grad_norm": "grad_norm", "reward": "train_reward_mean"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    steps = parser.parse_args().steps
    print(f"{'':28}{'loss':>9}{'grad norm':>11}{'reward':>9}{'speed':>8}")
    figures: dict[str, Any] = {"steps": steps}
    for method in ("dpo", "reward_model"):
        bare, child = both(method, steps)
        figures |= show(method, bare, child, pace(child) / pace(bare))
    bare, child = both("reinforcement", steps, by_generate=True)
    figures |= show("grpo by generate", bare, child, pace(child) / pace(bare))
    replayed, ours = by_our_cache(steps)
    figures |= show("grpo by our cache", replayed, ours, pace(ours) / pace(bare))
    print(json.dumps(figures))
    worst = max(value for name, value in figures.items() if name.endswith("_difference"))
    if worst > TOLERANCE:
        raise SystemExit(f"child and script differ by {worst:.1e}, more than {TOLERANCE}")


def show(name: str, bare: Run, child: Run, speed: float) -> dict[str, float]:
    found = differences(bare, child)
    columns = [f"{found[column]:.1e}" if column in found else "–" for column in OURS]
    print(f"{name:28}{columns[0]:>9}{columns[1]:>11}{columns[2]:>9}{speed:>7.2f}×", flush=True)
    key = name.replace(" ", "_")
    return {f"{key}_worst_difference": float(f"{max(found.values()):.1e}"), f"{key}_over_bare": round(speed, 2)}


def differences(bare: Run, child: Run) -> dict[str, float]:
    """By metric, the largest of any step, relative to the mean size of the script's."""
    found = {}
    for theirs, ours in OURS.items():
        if theirs not in bare["steps"][0]:
            continue
        pairs = [(one[theirs], other[ours]) for one, other in zip(bare["steps"], child["steps"], strict=True)]
        found[theirs] = max(abs(one - other) for one, other in pairs) / mean(abs(one) for one, _ in pairs)
    return found


def pace(run: Run) -> float:
    return float(run["tokens"] / run["seconds"])


def both(method: str, steps: int, *, epochs: int = 1, by_generate: bool = False) -> tuple[Run, Run]:
    """(bare, child). steps: of an epoch."""
    bare = in_a_process(bare_of, method, steps, None, epochs)
    return bare, in_a_process(child_of, method, steps, by_generate, epochs)


def by_our_cache(steps: int) -> tuple[Run, Run]:
    """(bare, child) of GRPO, the bare one with the child's completions."""
    child = in_a_process(child_of, "reinforcement", steps, False)
    return in_a_process(bare_of, "reinforcement", steps, child["completions"]), child


def in_a_process(work: Callable[..., Run], *arguments: Any) -> Run:
    """A new one each time, so that no run finds what another has warmed up, or patched. Only imports are shared."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["worker.training.process.forkserver"])
    with context.Pool(1) as pool:
        return pool.apply(work, arguments)


def rows(method: str, steps: int) -> list[Line]:
    if method == "reinforcement":
        return [json.loads(line) for line in grpo.rows(steps * 8, "train", 1)]
    return list(islice(preferences.rows("pair", "train", 1), steps * 16))


def bare_of(method: str, steps: int, completions: list[Any] | None = None, epochs: int = 1) -> Run:
    asked: dict[str, dict[str, Any]] = {
        "dpo": {"per_device_train_batch_size": 16, "beta": 0.1},
        "reward_model": {"per_device_train_batch_size": 16, "center_rewards_coefficient": 0.01},
        "reinforcement": {"per_device_train_batch_size": 64, "num_generations": 8, "max_completion_length": 40},
    }
    more = {} if completions is None else {"completions": completions}
    values = {"num_train_epochs": epochs, "learning_rate": RATE, **asked[method]}
    return _bare.BARE[method](rows(method, steps), values, **more)


def child_of(method: str, steps: int, by_generate: bool, epochs: int = 1) -> Run:
    """completions: of a GRPO that draws by our cache, the ids of each step's."""
    asked: dict[str, dict[str, Any]] = {
        "dpo": {"batch_size": 16, "beta": 0.1, "loss_type": "sigmoid", "label_smoothing": 0.0},
        "reward_model": {"batch_size": 16, "center_rewards_coefficient": 0.01},
        "reinforcement": {
            "batch_size": 8,
            "group_size": 8,
            "max_completion_tokens": 40,
            "temperature": 1.0,
            "kl_beta": 0.0,
            "loss_type": "dapo",
            "epsilon": 0.2,
            "eval_samples": 1,
        },
    }
    completions: list[list[list[int]]] = []
    if method == "reinforcement":
        from worker.training.rl.group_trainer import GroupTrainer
        from worker.training.rl.sampling import drawing

        draw = drawing.draw

        def kept(*arguments: Any) -> list[list[int]]:
            completions.append(draw(*arguments))
            return completions[-1]

        drawing.draw = kept
        if by_generate:
            GroupTrainer.drawn = lambda *_: None
    values = {"n_epochs": epochs, "learning_rate": RATE, **asked[method]}
    found = _child.run(method, rows(method, steps), values, judge)
    return {**found, "completions": completions}


def judge(rollouts: Sequence[Line]) -> dict[str, list[float]]:
    """By the service's own functions, weighed."""
    from fettle.rewards import grader_fields
    from fettle.rewards.graders import Graders
    from fettle.rewards.samples import Sample

    samples = [Sample(each["messages"], each["completion"], each["item"]) for each in rollouts]
    checked = grader_fields.check({"reward_functions": grpo.REWARDS})
    weights = {entry["name"]: entry["weight"] for entry in checked}
    with Graders(checked) as graders:
        scores = [score.scores for score in graders.score(samples)]
    return {name: [weight * (score[name] or 0.0) for score in scores] for name, weight in weights.items()}


if __name__ == "__main__":
    main()

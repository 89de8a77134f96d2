"""A GRPO step of the service's training child against a bare TRL script: all of it, its update alone, and its memory.

    python -m bench.group_step --base .fettle/models/smollm2-135m
    python -m bench.group_step

Groups of 8 completions of up to 64 tokens, behind prompts of 192 tokens and a few more. Each side runs in a process of
its own, one thread, and they take turns; counted are its CPU seconds. The update is the step without what comes
before it: sampling, rewards, and log-probabilities of a reference if there is one.
  bare       TRL's trainer as its documentation has it, in float32, TRL's default on a CPU; it draws by `generate`
  replayed   the same with the completions that the child drew: its update is what the child's is compared with
  padded     the child with every prompt read once for each completion, as before
  shared     the child as it is, in float32
  bf16       the child as it is, where this CPU computes in bf16 and the base is large enough to gain from it
A completion's reward is a checksum of its text: unequal ones get unequal rewards, so that an update has a gradient.
Its loss says little on completions of the same policy, so the gradient's norm is compared: a step's difference,
relative to the mean norm.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

from bench import _bare, _child
from bench._child import Line, Run
from bench.equality import in_a_process
from examples import grpo
from fettle.host import cpu
from fettle.registry.catalog import STARTER
from worker.training.model import device

RATE, GROUP, TOKENS, PROMPT = 1e-3, 8, 64, 192
TOLERANCE = {"padded": 1e-3, "shared": 1e-3}  # of the gradient's norm, relative; sums in another order


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=STARTER, help="folder of the base model")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    names = ["shared", "padded", "bare", *(["bf16"] if cpu.bf16_pays(options.base) else [])]
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for repeat in range(options.repeats):
        for name in names:
            runs[name].append(in_a_process(SIDES[name], options.base, options.steps))
            show(f"{repeat + 1}  {name}", runs[name][-1])
    drawn = runs["shared"][0]["completions"]
    replayed = in_a_process(bare, options.base, options.steps, drawn)
    show("   replayed", replayed)
    cost = {
        part: {name: median(run[part] for run in found) for name, found in runs.items()} for part in ("step", "update")
    }
    cost["update"]["bare"] = replayed["update"]  # of the same completions
    worst = {name: difference(replayed, runs[name][0]) for name in TOLERANCE}
    print(
        json.dumps(
            {
                "steps": options.steps,
                "tokens_drawn": {name: found[0]["tokens"] for name, found in runs.items()},
                "worst_difference_of_gradient_norm": {name: float(f"{value:.1e}") for name, value in worst.items()},
                "update_over_padded": round(cost["update"]["padded"] / cost["update"]["shared"], 2),
                "update_over_bare": over(cost["update"]),
                "step_over_bare": over(cost["step"]),
                "peak_gib": {name: round(found[0]["peak"] / 2**30, 2) for name, found in runs.items()},
            }
        )
    )
    if wrong := {name: value for name, value in worst.items() if value > TOLERANCE[name]}:
        raise SystemExit(f"the gradients differ by {wrong}, more than {TOLERANCE}")


def over(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(seconds["bare"] / value, 2) for name, value in seconds.items() if name != "bare"}


def show(name: str, run: Run) -> None:
    line = f"step {run['step']:6.2f} s  update {run['update']:6.2f} s  peak {run['peak'] / 2**30:.2f} GiB"
    print(f"{name:12}{line}", flush=True)


def difference(one: Run, other: Run) -> float:
    """The largest of any step."""
    norms = [(a["grad_norm"], b["grad_norm"]) for a, b in zip(one["steps"], other["steps"], strict=True)]
    return max(abs(a - b) for a, b in norms) / mean(a for a, _ in norms)


def rows(base: Path, count: int) -> list[Line]:
    """Word problems with others before them, until the prompt is long enough; the answer is the last one's."""
    from fettle.datasets.formats.render import Renderer

    renderer, found = Renderer(base), []
    problems = (json.loads(line) for line in grpo.rows(count * 40, "train", 1))
    for _ in range(count):
        row = next(problems)
        while len(renderer.prompt([{"role": "user", "content": row["prompt"]}])) < PROMPT:
            row = {"prompt": f"{row['prompt']}\n{(more := next(problems))['prompt']}", "answer": more["answer"]}
        found.append(row)
    return found


class Clock:
    """CPU seconds of TRL's training steps, and of them those before the update."""

    def __init__(self) -> None:
        from trl import GRPOTrainer

        self.steps, self.before = [], []  # type: list[float], list[float]
        for name, seconds in (("training_step", self.steps), ("_prepare_inputs", self.before)):
            setattr(GRPOTrainer, name, timed(getattr(GRPOTrainer, name), seconds))

    def report(self, run: Run) -> Run:
        """Medians over the steps."""
        updates = [step - before for step, before in zip(self.steps, self.before, strict=True)]
        figures = {"step": median(self.steps), "update": median(updates), "peak": device.peaks()["peak_memory_bytes"]}
        return {**run, **figures}


def timed(method: Any, seconds: list[float]) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        started = time.process_time()
        found = method(*arguments, **options)
        seconds.append(time.process_time() - started)
        return found

    return call


def checksum(completions: list[str], **_: Any) -> list[float]:
    return [sum(map(ord, text)) % 97 / 97 for text in completions]


def judge(rollouts: list[Line]) -> dict[str, list[float]]:
    return {"checksum": checksum([rollout["completion"] for rollout in rollouts])}


def bare(base: Path, steps: int, completions: list[Any] | None = None) -> Run:
    _child.quiet()
    clock = Clock()
    asked = {"per_device_train_batch_size": GROUP, "num_generations": GROUP, "max_completion_length": TOKENS}
    values = {"num_train_epochs": 1, "learning_rate": RATE, "beta": 0.0, **asked}
    return clock.report(_bare.grpo(rows(base, steps), values, completions, base, {checksum: 1.0}))


def child(base: Path, steps: int, *, bf16: bool = False, padded: bool = False) -> Run:
    """completions: the ids of each step's."""
    _child.quiet()
    from worker.training.rl import shared_prompts
    from worker.training.rl.sampling import drawing

    completions: list[list[list[int]]] = []
    draw = drawing.draw

    def kept(*arguments: Any) -> list[list[int]]:
        completions.append(draw(*arguments))
        return completions[-1]

    drawing.draw = kept
    if padded:
        shared_prompts.possible = lambda _: False
    asked = {
        "batch_size": 1,
        "group_size": GROUP,
        "max_completion_tokens": TOKENS,
        "temperature": 1.0,
        "kl_beta": 0.0,
        "loss_type": "dapo",
        "epsilon": 0.2,
        "eval_samples": 1,
        "learning_rate": RATE,
    }
    clock = Clock()
    found = _child.run("reinforcement", rows(base, steps), asked, judge, base, cpu_bf16=bf16)
    return clock.report({**found, "completions": completions})


def padded(base: Path, steps: int) -> Run:
    return child(base, steps, padded=True)


def bf16(base: Path, steps: int) -> Run:
    return child(base, steps, bf16=True)


SIDES = {"shared": child, "padded": padded, "bare": bare, "bf16": bf16}

if __name__ == "__main__":
    main()

"""GRPO on a GPU: tokens per second by what draws the completions: TRL's `generate`, our cache, or a colocated vLLM.

    python -m bench.gpu_grpo              on the first visible GPU
    python -m bench.gpu_grpo --size 8b    the shape of an 8 B model
    python -m bench.gpu_grpo --tiny       a rehearsal at toy size; uses a CPU if there is no GPU

The base model is that of `bench.gpu`: Qwen2.5-0.5B's shape with random weights. vLLM takes part where it is installed
in a version that TRL supports. Each kind is a process of its own. Counted are prompts and completions, over the whole
step: drawing, judging by a toy reward, update. Not run on a GPU yet.
"""

import argparse
import json
import multiprocessing
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from bench import _child, gpu
from bench._child import Line
from bench._gpu_shapes import SIZES, make_base
from examples import grpo
from worker.training.rl.sampling import colocated

KINDS = ("generate", "cache", "vllm")
WARM = 2  # steps that compile kernels


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_grpo")
    parser.add_argument("--tiny", action="store_true", help="toy size; uses a CPU if there is no GPU")
    parser.add_argument("--size", choices=[*SIZES], default="0.5b")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--base", type=Path, help="a folder for the base model, which stays; what lies there is used")
    asked = parser.parse_args()
    name = "tiny" if asked.tiny else asked.size
    size = SIZES[name]
    print(gpu.setting(size, asked.tiny).split(", batches")[0], flush=True)
    figures = {}
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        base = asked.base or Path(folder) / "base"
        make_base(base, size)
        for kind in asked.kinds:
            if kind == "vllm" and not colocated.supported(colocated.version()):
                print(f"{kind:10}left out: vLLM is {colocated.version() or 'not installed'}")
                continue
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                pace, seen = pool.apply(run, (kind, base, asked.steps, name))
            figures[f"{kind}_tokens_per_second"] = round(pace)
            print(f"{kind:10}{pace:10,.0f} tokens/s, completions of {seen:.0f} tokens", flush=True)
    print(json.dumps(figures))


def run(kind: str, base: Path, steps: int, name: str) -> tuple[float, float]:
    """Tokens a second, and a completion's mean length."""
    from worker.training.rl.group_trainer import GroupTrainer

    if kind == "generate":
        GroupTrainer.drawn = lambda *_: None
    if kind != "vllm":
        colocated.supported = lambda _: False
    size = SIZES[name]
    rows = [json.loads(line) for line in grpo.rows(size.prompts * steps, "train", 1)]
    hyperparameters = {
        "batch_size": size.prompts,
        "group_size": size.group,
        "max_completion_tokens": size.completion,
        "learning_rate": 1e-5,
        "temperature": 1.0,
        "kl_beta": 0.0,
        "loss_type": "dapo",
        "epsilon": 0.2,
        "eval_samples": 1,
    }
    found = _child.run("reinforcement", rows, hyperparameters, judge, base)["steps"][WARM:]
    paces, lengths = ([step[name] for step in found] for name in ("tokens_per_second", "completion_length_mean"))
    return median(paces), median(lengths)


def judge(rollouts: list[Line]) -> dict[str, Any]:
    """Something that differs within a group, though the weights are random."""
    return {"varied": [len(set(each["completion"])) / 100 for each in rollouts]}


if __name__ == "__main__":
    main()

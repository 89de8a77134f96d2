"""The training child's own code on a work folder like the supervisor's, in the process that calls it."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fettle.registry.catalog import STARTER

SEED = 7
LORA = {"rank": 16, "alpha": 32, "dropout": 0.0}

Line = dict[str, Any]
Judge = Callable[[list[Line]], dict[str, list[float]]]  # rollouts → scores by function's name
Run = dict[str, Any]  # steps: the metrics of each; tokens; seconds of CPU time that training took


def quiet() -> None:
    """The trainers print their logs; only figures are of interest here."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    import torch

    torch.set_num_threads(1)


def run(
    method: str,
    rows: Sequence[Line],
    hyperparameters: dict[str, Any],
    judge: Judge | None = None,
    base: Path = STARTER,
    *,
    cpu_bf16: bool = False,
) -> Run:
    """Trains, its checkpoint at the end included. judge: in the scorer's place; a completion's reward is the sum."""
    quiet()
    from worker.training import loop
    from worker.training.process.channel import SocketChannel
    from worker.training.process.job_spec import Work

    class Recorder(SocketChannel):
        """In the place of a supervisor."""

        def __init__(self) -> None:
            super().__init__(None)
            self.steps: list[dict[str, float]] = []

        def send(self, type: str, **fields: Any) -> None:
            if type == "metrics":
                self.steps.append(fields["data"])

        def ask(self, type: str, stop: Any, **fields: Any) -> Line:
            assert judge is not None  # only methods with rewards ask
            scores = judge(fields["rollouts"])
            rewards = [sum(values) for values in zip(*scores.values(), strict=True)]
            return {"rewards": rewards, "scores": scores, "version": 1, "seconds": 0.0}

    seconds = 0.0
    train = loop.train

    def timed(*arguments: Any) -> None:
        nonlocal seconds
        started = time.process_time()
        train(*arguments)
        seconds = time.process_time() - started

    loop.train = timed
    values = {"n_epochs": 1, "max_seq_length": 2048, "warmup_ratio": 0, "lora": LORA, **hyperparameters}
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as name:
        folder = Path(name)
        (folder / "train").write_text("".join(json.dumps(row) + "\n" for row in rows))
        spec = {
            "method": {"type": method, method: {"hyperparameters": values}},
            "seed": SEED,
            "base_model": {"name": base.name, "path": str(base)},
            "threads": 1,
            "cpu_bf16": cpu_bf16,
        }
        (folder / "spec.json").write_text(json.dumps(spec))
        channel = Recorder()
        loop.run(Work.read(folder), channel)
    return {"steps": channel.steps, "tokens": channel.steps[-1]["tokens"], "seconds": seconds}

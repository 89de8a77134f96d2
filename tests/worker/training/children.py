"""Real training children, forked as the supervisor forks them, and the supervisor's end of their line."""

import json
import multiprocessing
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from examples.word_problems import problems
from fettle.registry.catalog import STARTER
from worker.training.__main__ import run

Line = dict[str, Any]
Row = dict[str, Any]

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["worker.training.process.forkserver"])
SILENCE = 120  # seconds after which a child counts as hung


def run_as_on_gpus(folder: str, sock: socket.socket, number: int) -> None:
    """The ranks are fresh processes, as CUDA needs them."""
    from worker.training.distributed import torchrun

    torchrun.start_method = lambda: "spawn"
    run(folder, sock, number)


def rows(count: int, split: Any = "train", seed: int = 1) -> list[Row]:
    return [dict(problem.row("reasoned")) for problem in islice(problems(split, seed), count)]


def comparisons(count: int, split: Any = "train", seed: int = 1) -> list[Row]:
    """Reasoned and right against blurted and wrong."""
    wrong = "<answer>{}</answer>"
    return [
        {
            "prompt": problem.question,
            "chosen": problem.row("reasoned")["completion"],
            "rejected": wrong.format(problem.answer + 1),
        }
        for problem in islice(problems(split, seed), count)
    ]


def write_rows(path: Path, lines: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))


def work_folder(
    folder: Path,
    train: list[Row],
    valid: list[Row] | None = None,
    *,
    resume: Path | None = None,
    base: Path = STARTER,
    lora: dict[str, Any] | None = None,
    method: str = "supervised",
    start: Path | None = None,
    cpu_bf16: bool = False,
    **hyperparameters: Any,
) -> Path:
    """As the supervisor fills it."""
    folder.mkdir(parents=True)
    write_rows(folder / "train", train)
    if valid:
        write_rows(folder / "valid", valid)
    if resume:
        shutil.copytree(resume, folder / "resume")
    if start:
        shutil.copytree(start, folder / "start")
    values = {
        "n_epochs": 1,
        "batch_size": 8,
        "learning_rate_multiplier": 1.0,
        "learning_rate": 2e-3,
        "max_seq_length": 512,
        "lora": {"rank": 8, "alpha": 16, "dropout": 0.0} | (lora or {}),
    }
    spec = {
        "method": {"type": method, method: {"hyperparameters": values | hyperparameters}},
        "seed": 7,
        "base_model": {"name": "starter", "path": str(base)},
        "threads": 1,
        "cpu_bf16": cpu_bf16,
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder


class Child:
    """One training child and what it said."""

    def __init__(self, folder: Path, ranks: int = 1, main: Callable[[str, socket.socket, int], None] = run) -> None:
        self.folder = folder
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(SILENCE)
        self.process = FORKSERVER.Process(target=main, args=(str(folder), theirs, ranks), daemon=ranks == 1)
        self.process.start()
        theirs.close()
        self.lines = self._lines()

    def _lines(self) -> Iterator[Line]:
        with self.socket.makefile("rb") as file:
            for line in file:
                yield json.loads(line)

    def until(self, type: str, **fields: Any) -> list[Line]:
        """What it says up to the first line of this type, that one included."""
        heard = []
        for line in self.lines:
            heard.append(line)
            if line["type"] == type and fields.items() <= line.items():
                return heard
        raise AssertionError(f"no {type} line with {fields} in {heard}; the log says: {self.log}")

    def rest(self) -> list[Line]:
        """What it says until it hangs up."""
        return list(self.lines)

    def stop(self) -> None:
        self.socket.sendall(b'{"type": "stop"}\n')

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()

    def exit_code(self) -> int | None:
        self.process.join(SILENCE)
        return self.process.exitcode

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()


def of(type: str, lines: list[Line]) -> list[Line]:
    return [line for line in lines if line["type"] == type]


def series(lines: list[Line], after: int = 0) -> dict[int, dict[str, float]]:
    """Step → every metric of that step, training and validation together, but for the time that it took."""
    steps: dict[int, dict[str, float]] = {}
    for line in of("metrics", lines):
        if line["step"] > after:
            values = {name: value for name, value in line["data"].items() if name != "tokens_per_second"}
            steps.setdefault(line["step"], {}).update(values)
    return steps


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

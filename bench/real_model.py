"""Every method on a real base model, SmolLM2-135M-Instruct: what small jobs teach it, how fast, in how much memory.

    make real-model && python -m bench.real_model               # about a quarter of an hour on two cores
    python -m bench.real_model --methods supervised dpo

The jobs follow each other as a user would walk them: supervised, then reinforcement and rlhf from the tuned model, rlhf
against the reward model that was trained before. All use word problems; the exam and the validation rows are held out.
"""

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from openai import OpenAI

from assets.smollm2.make import NAME
from bench._server import server
from examples import grpo, preferences, rlhf, running
from examples.evaluation import evaluate
from examples.word_problems import Split, problems
from fettle.settings import Settings

EXAM, EXAM_SEED = 32, 77
HELD_OUT = 12
MIB = 2**20

Rows = Callable[[int, Split], bytes]


@dataclass(frozen=True)
class Lesson:
    """rows: of the training file. start: the method whose tuned model it goes on from; None: the base."""

    rows: int
    data: Rows
    options: dict[str, Any]
    start: str | None = None


@dataclass(frozen=True)
class Figures:
    """before, after: held out. exam: right and reasoned, percent, asked through the engine; None: it writes nothing."""

    method: str
    model: str
    before: dict[str, float]
    after: dict[str, float]
    exam: list[float] | None
    steps: int
    tokens_per_second: float
    peak_mib: int  # of the training process
    cpu_seconds: float  # of the same; on a machine that is busy with other things they tell more than the wall does
    seconds: float


def reasoned(count: int, split: Split) -> bytes:
    rows = (problem.row("reasoned") for problem in problems(split, 1))
    return b"".join(json.dumps(row).encode() + b"\n" for row in islice(rows, count))


def joined(rows: Callable[[int, Split, int], Iterator[bytes]]) -> Rows:
    return lambda count, split: b"".join(rows(count, split, 1))


SHORT = {"max_completion_tokens": 40}
LESSONS: dict[str, Lesson] = {
    "supervised": Lesson(128, reasoned, {"hyperparameters": {"n_epochs": 1, "batch_size": 8}}),
    "dpo": Lesson(
        24,
        lambda count, split: preferences.dataset("pair", split, count),
        {"hyperparameters": {"n_epochs": 1, "batch_size": 8}},
    ),
    "reward_model": Lesson(16, joined(rlhf.rows), {"hyperparameters": {"n_epochs": 1, "batch_size": 8}}),
    "reinforcement": Lesson(
        16,
        joined(grpo.rows),
        {
            "reward_functions": grpo.REWARDS,
            "hyperparameters": {"n_epochs": 1, "batch_size": 4, "group_size": 4, **SHORT},
        },
        start="supervised",
    ),
    "rlhf": Lesson(
        16, joined(rlhf.rows), {"hyperparameters": {"n_epochs": 1, "batch_size": 8, **SHORT}}, start="supervised"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=LESSONS, default=list(LESSONS))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with serving(options.threads) as client:
        print(json.dumps({"method": "none", "exam": exam(client, NAME)}), flush=True)
        tuned: dict[str, str] = {}
        for method in LESSONS:
            if method in options.methods:
                figures = teach(client, method, LESSONS[method], tuned)
                tuned[method] = figures.model
                print(json.dumps(asdict(figures)), flush=True)


@contextmanager
def serving(threads: int, data: Path | None = None) -> Iterator[OpenAI]:
    """A server of our own with the real model in its catalog. Exits when it has not been prepared."""
    file = Settings().catalog_file
    if file is None or NAME not in json.loads(file.read_text()):
        raise SystemExit(f"{NAME} is not in the catalog: `make real-model` prepares it.")
    with server(data, catalog=str(file), threads=str(threads)) as client:
        yield client


def teach(
    client: OpenAI, method: str, lesson: Lesson, tuned: dict[str, str], *, held_out: int = HELD_OUT, ask: bool = True
) -> Figures:
    """tuned: the models of earlier lessons, which are gone on from where they are there. ask: sit the exam after it."""
    given = {"reward_model": tuned["reward_model"]} if method == "rlhf" and "reward_model" in tuned else {}
    began = time.monotonic()
    with watched() as use:
        job = client.fine_tuning.jobs.create(
            model=tuned.get(lesson.start or "", NAME),
            training_file=running.upload(client, "train.jsonl", lesson.data(lesson.rows, "train")),
            validation_file=running.upload(client, "held_out.jsonl", lesson.data(held_out, "held_out")),
            seed=1,
            method={"type": method, method: {**lesson.options, **given}},  # type: ignore[misc]  # ours, partly
        )
        while (job := client.fine_tuning.jobs.retrieve(job.id)).status not in ("succeeded", "failed", "cancelled"):
            time.sleep(0.5)
    seconds = time.monotonic() - began
    if job.fine_tuned_model is None:
        raise SystemExit(f"{method}: {job.error}")
    found = running.evaluation(client, job.id)
    columns: Any = client.get(f"/fine_tuning/jobs/{job.id}/metrics", cast_to=object)
    speeds = [speed for speed in columns["columns"].get("tokens_per_second", []) if speed]
    return Figures(
        method=method,
        model=job.fine_tuned_model,
        before=numbers(found["base"]),
        after=numbers(found["tuned"]),
        exam=None if method == "reward_model" or not ask else exam(client, job.fine_tuned_model),
        steps=max(columns["columns"]["step"]),
        tokens_per_second=round(median(speeds), 1) if speeds else 0.0,
        peak_mib=use.memory // MIB,
        cpu_seconds=round(use.cpu_seconds, 1),
        seconds=round(seconds, 1),
    )


def exam(client: OpenAI, model: str) -> list[float]:
    score = evaluate(client, model, list(islice(problems("held_out", EXAM_SEED), EXAM)))
    return [round(100 * share, 1) for share in (score.accuracy, score.reasoned)]


def numbers(found: dict[str, Any]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in found.items() if isinstance(value, int | float)}


@dataclass
class Use:
    """The most bytes that one training process had resident, and the CPU time of the longest one."""

    memory: int = 0
    cpu_seconds: float = 0.0


@contextmanager
def watched() -> Iterator[Use]:
    """What training processes below this one use meanwhile, looked at twice a second."""
    use, over = Use(), threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if "multiprocessing.forkserver" in " ".join(process.cmdline()):
                        use.memory = max(use.memory, process.memory_info().rss)
                        use.cpu_seconds = max(use.cpu_seconds, sum(process.cpu_times()[:2]))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield use
    finally:
        over.set()
        watcher.join()


if __name__ == "__main__":
    main()

"""`python -m worker.rewards.scorer_process` is one job's scorer: rewards and the sandbox run here.

JSON lines on stdin: {"version", "graders", "models", "limits", "engine", "engines", "patience", "rollouts"}; for each
one on stdout: {"scores", "sandbox"} in the batch's order and what held user code, or {"error", "code"} when the
graders cannot be opened. While a batch takes long, {"progress"} lines come first. The end of stdin is its end.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import orjson

from fettle.host.parent_death import die_with_parent
from fettle.rewards.graders import Graders
from fettle.rewards.samples import Sample, SampleScores
from fettle.rewards.sandbox import LoadError, SandboxError
from worker.rewards import open_graders

REPORT_SECONDS = 2.0


def main() -> None:
    die_with_parent()
    out: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # the libraries print as they like
    version, graders, held = 0, Graders([]), ExitStack()
    for line in sys.stdin.buffer:
        request = orjson.loads(line)
        try:
            if request["version"] != version:
                entered = ExitStack()
                graders = entered.enter_context(open_graders.opened(request, request["patience"]))
                held.close()
                version, held = request["version"], entered
            if request["models"]:
                graders.judge.engine.routes = open_graders.routes(request)  # type: ignore[attr-defined]  # EngineJudge
        except SandboxError as error:
            code = "graders_failed" if isinstance(error, LoadError) else "sandbox_unavailable"
            out.write(orjson.dumps({"error": str(error), "code": code}) + b"\n")
            continue
        samples = [Sample(each["messages"], each["completion"], each["item"]) for each in request["rollouts"]]
        with reporting(graders, out):
            scores = [as_json(score) for score in graders.score(samples)]
        out.write(orjson.dumps({"scores": scores, "sandbox": graders.sandbox}) + b"\n")
    held.close()


@contextmanager
def reporting(graders: Graders, out: BinaryIO) -> Iterator[None]:
    """Says every few seconds how far the batch is: judges by answers, other graders by how many are done."""
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(REPORT_SECONDS):
            if (line := progress_of(graders, time.monotonic())) is not None:
                out.write(orjson.dumps({"progress": line}) + b"\n")

    thread = threading.Thread(target=report, name="progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()  # so that no line of it follows the answer


def progress_of(graders: Graders, now: float) -> dict[str, Any] | None:
    """done of total in their unit, and the grader that the batch waits for."""
    current, judge = graders.current, graders.judge
    if current is None:
        return None
    done, total, unit = current.done, len(graders.entries), "graders"
    if judge.answer_count < judge.question_count:
        done, total, unit = judge.answer_count, judge.question_count, "answers of the judge"
    slow = f"the grader {current.name!r} ({now - current.since:.0f} s)"
    return {"done": done, "total": total, "unit": unit, "slow": slow}


def as_json(score: SampleScores) -> dict[str, Any]:
    errors = {name: {"flag": failure.flag, "message": failure.message} for name, failure in score.errors.items()}
    return {"reward": score.reward, "scores": score.scores, "printed": score.printed, "errors": errors}


if __name__ == "__main__":
    main()

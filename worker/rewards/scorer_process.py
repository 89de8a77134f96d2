"""`python -m worker.rewards.scorer_process` is one job's scorer: rewards and the sandbox run here.

JSON lines on stdin: {"version", "graders", "models", "limits", "engine", "engines", "patience", "rollouts"}; for each
one on stdout: {"scores", "sandbox"} in the batch's order and what held user code, or {"error", "code"} when the
graders cannot be opened. For {"tools", "calls", "limits"}, {"results", "sandbox"} of the calls, or {"error", "code"}; a
job's tools stay the same. While a batch takes long, {"progress"} lines come first. The end of stdin is its end.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any, BinaryIO

import orjson

from fettle.host.parent_death import die_with_parent
from fettle.rewards.graders import Graders
from fettle.rewards.samples import Sample, SampleScores
from fettle.rewards.sandbox import Limits, LoadError, SandboxError
from fettle.rewards.tools import Call, Tools
from worker.rewards import open_graders

REPORT_SECONDS = 2.0


def main() -> None:
    die_with_parent()
    out: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # the libraries print as they like
    state = Opened()
    for line in sys.stdin.buffer:
        request = orjson.loads(line)
        try:
            answer = state.call(request, out) if "calls" in request else state.score(request, out)
        except SandboxError as error:
            code = "graders_failed" if isinstance(error, LoadError) else "sandbox_unavailable"
            answer = {"error": str(error), "code": code}
        out.write(orjson.dumps(answer) + b"\n")
    state.close()


class Opened:
    """The graders of the newest version that was asked for, and the job's tools."""

    def __init__(self) -> None:
        self.version, self.graders, self.held = 0, Graders([]), ExitStack()
        self.tools: Tools | None = None

    def score(self, request: dict[str, Any], out: BinaryIO) -> dict[str, Any]:
        """Raises SandboxError."""
        if request["version"] != self.version:
            entered = ExitStack()
            graders = entered.enter_context(open_graders.opened(request, request["patience"]))
            self.held.close()
            self.version, self.graders, self.held = request["version"], graders, entered
        if request["models"]:
            self.graders.judge.engine.routes = open_graders.routes(request)  # type: ignore[attr-defined]  # EngineJudge
        samples = [
            Sample(each["messages"], each["completion"], each["item"], turns=each["turns"])
            for each in request["rollouts"]
        ]
        with reporting(lambda now: progress_of(self.graders, now), out):
            scores = [as_json(score) for score in self.graders.score(samples)]
        return {"scores": scores, "sandbox": self.graders.sandbox}

    def call(self, request: dict[str, Any], out: BinaryIO) -> dict[str, Any]:
        """Raises SandboxError."""
        if self.tools is None:
            self.tools = Tools(request["tools"], Limits(**request["limits"]))
        calls = [Call(**call) for call in request["calls"]]
        results: list[dict[str, Any]] = []
        with reporting(lambda now: calls_done(calls, len(results)), out):
            for call in calls:
                results.append(asdict(self.tools.call(call)))
        return {"results": results, "sandbox": self.tools.sandbox}

    def close(self) -> None:
        self.held.close()
        if self.tools is not None:
            self.tools.close()


@contextmanager
def reporting(progress: Callable[[float], dict[str, Any] | None], out: BinaryIO) -> Iterator[None]:
    """Says every few seconds how far the batch is. progress: at a time, in monotonic seconds."""
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(REPORT_SECONDS):
            if (line := progress(time.monotonic())) is not None:
                out.write(orjson.dumps({"progress": line}) + b"\n")

    thread = threading.Thread(target=report, name="progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()  # so that no line of it follows the answer


def calls_done(calls: Sequence[Call], done: int) -> dict[str, Any] | None:
    if done >= len(calls):
        return None
    return {"done": done, "total": len(calls), "unit": "tool calls", "slow": f"the tool {calls[done].name!r}"}


def progress_of(graders: Graders, now: float) -> dict[str, Any] | None:
    """done of total in their unit: judges by answers, other graders by how many are done; and the grader that the batch
    waits for."""
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

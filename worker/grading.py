"""The process that answers one request to grade: JSON in, JSON out (`python -m worker.grading`)."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import orjson

from fettle.rewards import Graders, Limits, LoadError, Sample, SandboxError
from fettle.serving import Servable
from fettle.settings import Settings
from worker.judging import EngineJudge


def grade(request: dict[str, Any]) -> dict[str, Any]:
    """{"scores", "seconds", "sandbox"}, or {"error": {"kind", "message"}} when the graders cannot be opened."""
    begun = time.perf_counter()
    limits = Limits(**request["limits"])
    servables = {name: Servable(**servable) for name, servable in request["models"].items()}
    try:
        with judge_of(request, servables) as judge, Graders(request["graders"], limits=limits, judge=judge) as graders:
            scores = graders.score([Sample(**sample) for sample in request["samples"]])
            seconds = time.perf_counter() - begun
            return {"scores": [asdict(score) for score in scores], "seconds": seconds, "sandbox": graders.sandbox}
    except SandboxError as error:
        return {"error": {"kind": "load" if isinstance(error, LoadError) else "sandbox", "message": str(error)}}


@contextmanager
def judge_of(request: dict[str, Any], servables: dict[str, Servable]) -> Iterator[EngineJudge | None]:
    """None where no grader asks a model."""
    if not servables:
        yield None
        return
    judge = EngineJudge(Settings(**request["engine"]), servables)
    try:
        yield judge
    finally:
        judge.close()


if __name__ == "__main__":
    answering = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    answer = grade(orjson.loads(sys.stdin.buffer.read()))
    with os.fdopen(answering, "wb") as sink:
        sink.write(orjson.dumps(answer))

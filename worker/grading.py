"""The process that answers one request to grade: JSON in, JSON out (`python -m worker.grading`)."""

import os
import sys
import time
from dataclasses import asdict
from typing import Any

import orjson

from fettle.rewards import LoadError, Sample, SandboxError
from worker import opening


def grade(request: dict[str, Any]) -> dict[str, Any]:
    """{"scores", "seconds", "sandbox"}, or {"error": {"kind", "message"}} when the graders cannot be opened."""
    begun = time.perf_counter()
    try:
        with opening.opened(request) as graders:
            scores = graders.score([Sample(**sample) for sample in request["samples"]])
            seconds = time.perf_counter() - begun
            return {"scores": [asdict(score) for score in scores], "seconds": seconds, "sandbox": graders.sandbox}
    except SandboxError as error:
        return {"error": {"kind": "load" if isinstance(error, LoadError) else "sandbox", "message": str(error)}}


if __name__ == "__main__":
    answering = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    answer = grade(orjson.loads(sys.stdin.buffer.read()))
    with os.fdopen(answering, "wb") as sink:
        sink.write(orjson.dumps(answer))

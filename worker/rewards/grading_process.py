"""`python -m worker.rewards.grading_process` answers one request to grade, or one dry run: JSON in, JSON out."""

import os
import sys
import time
from dataclasses import asdict
from typing import Any

import orjson

from fettle.errors import Unavailable, brief
from fettle.rewards import Graders, LoadError, Sample, SandboxError
from worker.rewards import dry_run, open_graders

NICENESS = 5  # training beside it goes first


def grade(request: dict[str, Any]) -> dict[str, Any]:
    """{"scores", "seconds", "sandbox"}, of a dry run what `worker.rewards.dry_run` says;
    {"error": {"kind", "message"}} when the graders cannot be opened."""
    begun = time.monotonic()
    try:
        with open_graders.opened(request) as graders:
            if "dry_run" in request:
                return dry_run.run(request, graders, begun)
            if (misfit := misfit_of(request)) is not None:
                return {"error": {"kind": "item", "message": misfit}}
            scores = [timed(graders, Sample(**sample)) for sample in request["samples"]]
            seconds = sum(score["seconds"] for score in scores)
            return {"scores": scores, "seconds": seconds, "sandbox": graders.sandbox}
    except SandboxError as error:
        return {"error": {"kind": "load" if isinstance(error, LoadError) else "sandbox", "message": str(error)}}
    except Unavailable as error:
        return {"error": {"kind": "engine", "message": error.message}}


def misfit_of(request: dict[str, Any]) -> str | None:
    """What keeps the first bad one of an eval's items from its schema; None where all fit."""
    if "item_schema" not in request:
        return None
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(request["item_schema"])
    for item in request["items"]:
        if error := next(validator.iter_errors(item), None):
            where = f" at {error.json_path[2:]!r}" if error.json_path != "$" else ""
            said = brief(error.message)
            return f"An item does not fit the eval's 'item_schema'{where}: {said}. The item: {brief(item)}"
    return None


def timed(graders: Graders, sample: Sample) -> dict[str, Any]:
    """Scored by itself, so that its seconds are its own and hold no start of a sandbox."""
    begun = time.monotonic()
    (score,) = graders.score([sample])
    return {**asdict(score), "seconds": time.monotonic() - begun}


if __name__ == "__main__":
    os.nice(NICENESS)
    answering = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    answer = grade(orjson.loads(sys.stdin.buffer.read()))
    with os.fdopen(answering, "wb") as sink:
        sink.write(orjson.dumps(answer))

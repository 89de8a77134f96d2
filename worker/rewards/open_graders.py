"""Graders as the processes that grade open them: with what the worker tells over their pipe, and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from fettle.inference.routing import Route
from fettle.rewards import Graders, Limits
from fettle.settings import Settings


def resources(settings: Settings, engines: Sequence[Route] = ()) -> dict[str, Any]:
    """`limits`, `engine` and `engines` of a request. No key stands in an argument, a variable or a log."""
    key = settings.engine_key
    return {
        "limits": {"seconds": settings.grader_seconds, "memory_bytes": settings.grader_memory_bytes},
        "engine": {"engine_url": settings.engine_url, "engine_key": key.get_secret_value() if key else None},
        "engines": [asdict(engine) for engine in engines],
    }


def routes(request: Mapping[str, Any]) -> list[Route]:
    return [Route(**engine) for engine in request["engines"]]


@contextmanager
def opened(request: Mapping[str, Any], patience: float = 0.0) -> Iterator[Graders]:
    """The request's `graders`, with its `limits`, and its `engine` to ask its `models`. Raises SandboxError."""
    graders, limits = request["graders"], Limits(**request["limits"])
    if not request["models"]:
        with Graders(graders, limits=limits) as held:
            yield held
        return
    from fettle.inference.client import Servable  # as slow to import as everything else here together
    from worker.rewards.engine_judge import EngineJudge

    servables = {name: Servable(**servable) for name, servable in request["models"].items()}
    judge = EngineJudge(Settings(**request["engine"]), servables, patience, routes(request))
    try:
        with Graders(graders, limits=limits, judge=judge) as held:
            yield held
    finally:
        judge.close()

"""The words of the tables of calls: what a call works on, and what it must come to. For any openai SDK."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openai import OpenAI

ASK: Any = [{"role": "user", "content": "2 + 2 ="}]
ROWS = b"\n".join(b'{"prompt": "%d + 1 =", "completion": "%d"}' % (n, n + 1) for n in range(12))


@dataclass(frozen=True)
class Things:
    """Ids of one project's things, made before the calls."""

    file: str  # in use by `job`
    spare: str  # a file of its own
    job: str  # queued, three events, two checkpoints, metadata team=blue
    ended: str  # cancelled
    plain: str  # queued, without metadata
    tuned: str  # a model whose base has a slash in its name
    doomed: str  # another
    checkpoint: str
    base: str  # with a slash
    alias: str  # of the starter


Call = Callable[[OpenAI, Things], Any]
Table = dict[str, tuple[Call, Any]]  # what the call must come to


def refused(kind: str, status: int, code: str, param: str | None) -> dict[str, Any]:
    return {"error": kind, "status": status, "code": code, "param": param}


def bad(param: str | None, code: str = "invalid_value") -> dict[str, Any]:
    return refused("BadRequestError", 400, code, param)


def unknown(param: str) -> dict[str, Any]:
    return bad(param, "unknown_parameter")


def missing(param: str | None, code: str = "not_found") -> dict[str, Any]:
    return refused("NotFoundError", 404, code, param)


def conflict(code: str) -> dict[str, Any]:
    return refused("ConflictError", 409, code, None)


NO_MODEL = missing("model", "model_not_found")
NO_ROUTE = missing(None, "unknown_url")


def hyper(**values: Any) -> Any:
    return {"type": "supervised", "supervised": {"hyperparameters": values}}


def create(c: OpenAI, t: Things, **body: Any) -> Any:
    return c.fine_tuning.jobs.create(**{"model": "starter", "training_file": t.spare, **body})


def upload(c: OpenAI, **changed: Any) -> Any:
    return c.files.create(**{"file": ("sums.jsonl", ROWS), "purpose": "fine-tune", **changed})


def chat(c: OpenAI, model: str, **more: Any) -> Any:
    return c.chat.completions.create(**{"model": model, "messages": ASK, **more})


def complete(c: OpenAI, model: str = "starter", **more: Any) -> Any:
    return c.completions.create(**{"model": model, "prompt": "2 + 2 =", **more})


def respond(c: OpenAI, model: str = "starter", **more: Any) -> Any:
    return c.responses.create(**{"model": model, "input": "2 + 2 =", **more})

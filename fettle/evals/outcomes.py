"""What came of a row of an eval: the answer as OpenAI's `sample`, and what each criterion says of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fettle.evals import criteria
from fettle.inference.usage import counted

Line = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of one row. usage: tokens; they count to the run where it asked a model."""

    number: int
    status: str
    item: dict[str, Any]
    sample: dict[str, Any]
    results: list[dict[str, Any]]
    usage: Mapping[str, int]


def sample_object(
    messages: list[Line],
    asked: Line,
    model: str | None,
    *,
    output: Line | None = None,
    ended: str = "error",
    usage: Line | None = None,
    error: Line | None = None,
) -> Line:
    said = {} if output is None else {name: output.get(name) for name in ("role", "content", "tool_calls")}
    return {
        "input": messages,
        "output": [{name: value for name, value in said.items() if value or name != "tool_calls"}] if said else [],
        "finish_reason": ended,
        "model": model or "",
        "usage": counted(usage or {}),
        "error": error,
        "seed": asked.get("seed"),
        "temperature": asked.get("temperature", 1.0),
        "top_p": asked.get("top_p", 1.0),
        "max_completion_tokens": asked.get("max_completion_tokens"),
    }


def outcome_of(judged_by: list[Line], number: int, item: Line, sample: Line, score: Line | None) -> Outcome:
    """A row without an answer, and one that a grader could not judge, is an error: neither passed nor failed."""
    results = [] if score is None else criteria.results(judged_by, score)
    if score is None or any("error" in result for result in results):
        status = "error"
    else:
        status = "pass" if all(result["passed"] for result in results) else "fail"
    return Outcome(number, status, item, sample, results, sample["usage"])

"""Testing criteria: graders, each with the score from which an answer passes."""

from collections.abc import Mapping, Sequence
from typing import Any

from fettle.errors import InvalidRequest, brief

WHERE = "testing_criteria"
BOOLEAN = ("string_check", "label_model")  # they give 1 or 0


def split(criteria: Sequence[Any]) -> tuple[list[dict[str, Any]], list[float | None]]:
    """The graders, and the thresholds that were asked for. Raises InvalidRequest."""
    graders: list[dict[str, Any]] = []
    thresholds: list[float | None] = []
    for number, criterion in enumerate(criteria):
        if not isinstance(criterion, Mapping) or "type" not in criterion:
            raise InvalidRequest(
                f"Invalid value for '{WHERE}[{number}]': {brief(criterion)}. Use a grader with a 'type'.",
                param=f"{WHERE}[{number}]",
            )
        grader = dict(criterion)
        threshold = grader.pop("pass_threshold", None)
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
            raise InvalidRequest(
                f"Invalid value for 'pass_threshold': {brief(threshold)}. Use a number.",
                param=f"{WHERE}[{number}].pass_threshold",
            )
        graders.append(grader)
        thresholds.append(threshold)
    return graders, thresholds


def joined(graders: Sequence[Mapping[str, Any]], thresholds: Sequence[float | None]) -> list[dict[str, Any]]:
    """graders: checked, as `rewards.check` gives them. The criteria as an eval keeps and shows them."""
    return [
        {**entry["grader"], "pass_threshold": default_threshold(entry["grader"]) if threshold is None else threshold}
        if entry["grader"]["type"] not in BOOLEAN
        else dict(entry["grader"])
        for entry, threshold in zip(graders, thresholds, strict=True)
    ]


def default_threshold(grader: Mapping[str, Any]) -> float:
    """The middle of the grader's range; of 0 to 1 where it names none."""
    low, high = grader.get("range") or (0.0, 1.0)
    return (low + high) / 2


def graders_of(criteria: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As workers open them."""
    graders = [{name: value for name, value in each.items() if name != "pass_threshold"} for each in criteria]
    return [{"name": grader["name"], "weight": 1.0, "grader": grader} for grader in graders]


def results(criteria: Sequence[Mapping[str, Any]], scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """scores: a `SampleScores` as JSON. A criterion whose grader failed has not passed, and says why."""
    found = []
    for criterion in criteria:
        name = criterion["name"]
        score, error = scores["scores"].get(name), scores["errors"].get(name)
        passed = error is None and score is not None and score >= criterion.get("pass_threshold", 1.0)
        result = {"name": name, "type": criterion["type"], "passed": passed, "score": 0.0 if score is None else score}
        found.append(result if error is None else {**result, "error": error})
    return found

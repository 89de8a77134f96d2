"""The three ways in which a request says what is rewarded: `grader`, `graders` and `reward_functions`."""

from typing import Any

from fettle.errors import InvalidRequest
from fettle.rewards import source, specs

Graders = list[dict[str, Any]]


def check(judges: dict[str, Any], within: tuple[str, ...] = ()) -> Graders:
    """judges: one of `grader`, `graders` and `reward_functions`. Raises InvalidRequest.

    `graders` is OpenAI's other shape: one grader, or several by name, or a list of them. The models that they ask are
    found by `fettle.inference.judge_models`.
    """
    checked = check_shape(judges, within)
    for entry in checked:
        for text in sources(entry["grader"]):
            try:
                source.check(text)
            except ValueError as error:
                raise InvalidRequest(f"{entry['name']!r}: {error}.", param=".".join(within) or None) from error
    return checked


def sources(grader: dict[str, Any]) -> list[str]:
    """The user code of a grader and its parts."""
    if grader["type"] == "multi":
        return [text for part in grader["graders"].values() for text in sources(part)]
    return [grader["source"]] if grader["type"] == "python" else []


def check_shape(judges: dict[str, Any], within: tuple[str, ...]) -> Graders:
    graders = judges.get("graders")
    if graders is None:
        return specs.check(**judges, within=within)
    if isinstance(graders, dict):
        one = isinstance(graders.get("type"), str)
        graders = [graders] if one else [{"name": name, **as_object(given)} for name, given in graders.items()]
    return specs.check(reward_functions=graders, within=within)


def as_object(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise InvalidRequest("'graders' must be a grader, or an object of graders by name.", param="graders")
    return given

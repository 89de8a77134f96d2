"""What a request asks of OpenAI's service that open models and this one do not have. A job's events say so."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def sentences(method: Mapping[str, Any], graders: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """method, graders: as the job has them."""
    hyperparameters = method.get(method["type"], {}).get("hyperparameters", {})
    effort = hyperparameters.get("reasoning_effort", "default")
    if effort != "default":
        yield f"reasoning_effort {effort!r} has no effect: open base models have no such setting."
    for name, tag in images(graders):
        yield (
            f"image_tag {tag!r} of the grader {name!r} has no effect: Python graders run with the standard library of "
            "the worker's interpreter."
        )


def images(graders: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for entry in graders:
        grader = entry["grader"]
        for name, one in (grader["graders"] if grader["type"] == "multi" else {entry["name"]: grader}).items():
            if one.get("image_tag") is not None:
                yield name, one["image_tag"]

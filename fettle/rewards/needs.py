"""What graders need beside themselves: a sandbox, models to ask."""

from collections.abc import Mapping, Sequence
from typing import Any

from fettle.rewards.functions import FUNCTIONS


def has_user_code(graders: Sequence[Mapping[str, Any]]) -> bool:
    """Of what `check` gave: does any of it need the sandbox?"""
    return any(needs_sandbox(entry["grader"]) for entry in graders)


def needs_sandbox(grader: Mapping[str, Any]) -> bool:
    if grader["type"] == "multi":
        return any(map(needs_sandbox, grader["graders"].values()))
    return grader["type"] == "python" or (grader["type"] == "function" and FUNCTIONS[grader["function"]].sandboxed)


def models_of(graders: Sequence[Mapping[str, Any]]) -> set[str]:
    """The models that score_model and label_model graders ask, by the names that the request has for them."""
    return {name for entry in graders for name in asked_by(entry["grader"])}


def asked_by(grader: Mapping[str, Any]) -> set[str]:
    if grader["type"] == "multi":
        return {name for part in grader["graders"].values() for name in asked_by(part)}
    return {grader["model"]} if "model" in grader else set()

"""What graders need beside themselves: a sandbox, models to ask."""

from collections.abc import Mapping, Sequence
from typing import Any

from fettle.rewards.functions import FUNCTIONS
from fettle.rewards.judges import Kind


def has_user_code(graders: Sequence[Mapping[str, Any]]) -> bool:
    """Of what `check` gave: does any of it need the sandbox?"""
    return any(needs_sandbox(entry["grader"]) for entry in graders)


def needs_sandbox(grader: Mapping[str, Any]) -> bool:
    if grader["type"] == "multi":
        return any(map(needs_sandbox, grader["graders"].values()))
    return grader["type"] == "python" or (grader["type"] == "function" and FUNCTIONS[grader["function"]].sandboxed)


def models_of(graders: Sequence[Mapping[str, Any]]) -> set[tuple[str, Kind]]:
    """The models that graders ask, by the names that the request has for them, and of which kind each must be."""
    return {asked for entry in graders for asked in asked_by(entry["grader"])}


def asked_by(grader: Mapping[str, Any]) -> set[tuple[str, Kind]]:
    match grader["type"]:
        case "multi":
            return {asked for part in grader["graders"].values() for asked in asked_by(part)}
        case "score_model" | "label_model":
            return {(grader["model"], "chat")}
        case "function" if kind := FUNCTIONS[grader["function"]].judge_kind:
            return {(grader["parameters"]["model"], kind)}
    return set()

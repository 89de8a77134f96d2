"""Which graders judge a completion's form, and not what it says: the two may pull apart, and then form wins."""

from collections.abc import Mapping, Sequence
from typing import Any

FORM = frozenset({"think_format", "answer_format", "json_schema", "length", "repetition"})  # of our reward functions
WORD = "format"  # in the name that a user gave: code and models say by nothing else what they judge


def of_form(graders: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The names of those that judge form alone. graders: what `check` gave."""
    return frozenset(entry["name"] for entry in graders if judges_form(entry["grader"], entry["name"]))


def judges_form(grader: Mapping[str, Any], name: str) -> bool:
    if grader["type"] == "multi":
        return all(judges_form(part, label) for label, part in grader["graders"].items())
    return (grader["type"] == "function" and grader["function"] in FORM) or WORD in name.lower()

"""Argilla's records, as `dataset.records.to_json()` writes them, or flattened as `to_list(flatten=True)` does.

A ranking question gives a ranking; its values name the fields with the responses. Any other question whose answer is
the name of a response's field gives a pick. Read from the SDK's source (`argilla/records/_io`, `_resource.py`, 2.x).
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from fettle.comparisons.imports.votes import ImportedVote, LeftOut, Unfit, as_messages, prompt_of, text

FLAT = ".responses"  # ends the key of a question's answers in a flattened record
DONE = (None, "submitted")  # drafts and discarded answers are no votes


def fits(record: dict[str, Any]) -> bool:
    return ("fields" in record and "responses" in record) or any(key.endswith(FLAT) for key in record)


def votes(record: dict[str, Any], prompt_key: str | None) -> Iterator[ImportedVote | LeftOut]:
    """Raises Unfit."""
    fields = record["fields"] if isinstance(record.get("fields"), dict) else record
    prompt_name = prompt_of(fields, prompt_key)
    prompt = text(fields[prompt_name], f"The field {prompt_name!r}")
    found = 0
    for value, user, status in answers(record):
        levels = levels_of(value, fields, prompt_name)
        if levels is None:
            continue  # of a question about something else
        found += 1
        if status not in DONE:
            yield LeftOut(f"The answer is {str(status)[:20]!r}, not 'submitted'.")
            continue
        named = [[text(fields[name], f"The field {name!r}") for name in level] for level in levels]
        if len(named) < 2:
            yield LeftOut("The answer ranks all responses the same.")
            continue
        yield ImportedVote(as_messages(prompt), [each for level in named for each in level], named, user)
    if not found:
        yield LeftOut("No answer orders the fields of the record.")


def answers(record: dict[str, Any]) -> Iterator[tuple[Any, str | None, Any]]:
    """Value, user and status of each. Raises Unfit."""
    nested = record.get("responses")
    if isinstance(nested, dict):
        for question, given in nested.items():
            if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
                raise Unfit(f"The responses to the question {str(question)[:40]!r} are not a list of objects.")
            for each in given:
                yield each.get("value"), user_of(each.get("user_id")), each.get("status")
    for key, values in record.items():
        if key.endswith(FLAT) and isinstance(values, list):
            users, states = (record.get(f"{key}.{name}") or [None] * len(values) for name in ("users", "status"))
            if len(users) != len(values) or len(states) != len(values):
                raise Unfit(f"{key!r} has {len(values)} answers, but not as many users or states.")
            yield from zip(values, map(user_of, users), states, strict=True)


def user_of(value: Any) -> str | None:
    return None if value is None or value == "None" else str(value)


def levels_of(value: Any, fields: dict[str, Any], prompt_name: str) -> list[list[str]] | None:
    """Names of fields, best first; None where the value does not name fields."""
    others = {name for name in fields if name != prompt_name}
    if isinstance(value, str):
        rivals = [name for name in fields if name in others and alike(name, value) and isinstance(fields[name], str)]
        return [[value], [name for name in rivals if name != value]] if value in others and len(rivals) > 1 else None
    if isinstance(value, dict) and isinstance(value.get("value"), list) and isinstance(value.get("rank"), list):
        value = [{"value": name, "rank": rank} for name, rank in zip(value["value"], value["rank"], strict=False)]
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(each, str) for each in value):
        ranked = list(enumerate(value))
    elif all(isinstance(each, dict) and isinstance(each.get("rank"), int | float) for each in value):
        ranked = sorted(((each["rank"], each.get("value")) for each in value), key=lambda pair: pair[0])
    else:
        return None
    if not all(isinstance(name, str) and name in others for _, name in ranked):
        return None
    return [[name for _, name in level] for _, level in groupby(ranked, key=lambda pair: pair[0])]


def alike(name: str, other: str) -> bool:
    """response-1 and response-2, but not response-1 and context."""
    return name.rstrip("0123456789AaBb").rstrip("-_ ") == other.rstrip("0123456789AaBb").rstrip("-_ ")

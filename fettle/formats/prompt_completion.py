"""Rows with a prompt and its completion, both strings; other keys are allowed and kept out of training."""

from collections.abc import Iterator
from typing import Any

from fettle.formats.chat import Message
from fettle.formats.problems import Finding, kind, quoted

KEYS = frozenset({"prompt", "completion", "Prompt", "Completion"})


def to_messages(row: dict[str, Any]) -> list[Message]:
    return [
        {"role": "user", "content": find(row, "prompt")[1]},
        {"role": "assistant", "content": find(row, "completion")[1]},
    ]


def check(row: dict[str, Any]) -> Iterator[Finding]:
    """Everything that keeps a row with one of KEYS from being trained on."""
    for name in ("prompt", "completion"):
        text = row.get(name)
        if type(text) is str and text and not text.isspace():  # nearly every row: no need to look closer
            continue
        key, text = find(row, name)
        if text is None:
            yield Finding(key, "missing_text", {"key": quoted(key)})
        elif not isinstance(text, str):
            yield Finding(key, "text_not_string", {"key": quoted(key), "kind": kind(text)})
        elif not text or text.isspace():
            yield Finding(key, "empty_text", {"key": quoted(key)})


def find(row: dict[str, Any], name: str) -> tuple[str, Any]:
    """The key that holds the text, in lower case or capitalised, and its value."""
    value = row.get(name)
    if value is None and name.capitalize() in row:
        name = name.capitalize()
        value = row[name]
    return name, value

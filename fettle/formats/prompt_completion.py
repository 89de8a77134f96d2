"""Rows with a prompt and its completion, both strings; other keys are allowed and kept out of training."""

from collections.abc import Iterator
from typing import Any

from fettle.formats.chat import Message
from fettle.formats.problems import Finding, kind, quoted

KEYS = frozenset({"prompt", "completion", "Prompt", "Completion"})


def to_messages(row: dict[str, Any]) -> list[Message]:
    return [
        {"role": "user", "content": row[_key(row, "prompt")]},
        {"role": "assistant", "content": row[_key(row, "completion")]},
    ]


def check(row: dict[str, Any]) -> Iterator[Finding]:
    for name in ("prompt", "completion"):
        key = _key(row, name)
        text = row.get(key)
        if isinstance(text, str):
            if not text or text.isspace():
                yield Finding(key, "empty_text", {"key": quoted(key)})
        elif text is None:
            yield Finding(key, "missing_text", {"key": quoted(key)})
        else:
            yield Finding(key, "text_not_string", {"key": quoted(key), "kind": kind(text)})


def _key(row: dict[str, Any], name: str) -> str:
    return name if name in row or name.capitalize() not in row else name.capitalize()

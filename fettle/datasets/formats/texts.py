"""The string columns of a row: a prompt, a completion, an instruction, an output."""

from collections.abc import Iterator
from typing import Any

from fettle.datasets.formats import aliases
from fettle.datasets.formats.problems import RowProblem, kind, quoted

EMPTY: tuple[Any, ...] = (None, "", [], {})  # values that mean the same as no key
TEXT_PARTS = ("text", "input_text", "output_text")  # of chats, and of what the Responses API is sent and answers


def filled(text: Any) -> bool:
    return type(text) is str and bool(text) and not text.isspace()


def check_text(row: dict[str, Any], key: str) -> Iterator[RowProblem]:
    """What keeps the value from being a text that says something."""
    text = row.get(key)
    if text is None:
        yield RowProblem(key, "missing_text", {"key": quoted(key), "rename": aliases.advice_for(key, row)})
    elif not isinstance(text, str):
        yield RowProblem(key, "text_not_string", {"key": quoted(key), "kind": kind(text)})
    elif not filled(text):
        yield RowProblem(key, "empty_text", {"key": quoted(key)})


def check_optional(row: dict[str, Any], key: str) -> Iterator[RowProblem]:
    text = row.get(key)
    if text is not None and not isinstance(text, str):
        yield RowProblem(key, "text_not_string", {"key": quoted(key), "kind": kind(text)})


def joined(content: Any) -> Any:
    """A message's content as one text: text parts are parts of it. What is no list stays as it is."""
    if not isinstance(content, list):
        return content
    found = (part.get("text") if isinstance(part, dict) else part for part in content)
    return "".join(text for text in found if isinstance(text, str))


def is_parts(value: Any) -> bool:
    """Whether a list holds the parts of one text, and no messages."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(part, dict) and part.get("type") in TEXT_PARTS and "role" not in part for part in value)
    )


def check_parts(parts: list[Any]) -> Iterator[RowProblem]:
    """What is no text among the parts of a content. Paths are relative to the list."""
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            yield RowProblem(f"[{index}]", "content_part_unsupported", {"part": kind(part)})
        elif part.get("type", "text") not in TEXT_PARTS:
            named = part["type"]
            what = f"of the type {quoted(named)}" if isinstance(named, str) else "of no known type"
            yield RowProblem(f"[{index}]", "content_part_unsupported", {"part": what})
        elif not isinstance(part.get("text"), str):
            yield RowProblem(f"[{index}].text", "text_not_string", {"key": "'text'", "kind": kind(part.get("text"))})

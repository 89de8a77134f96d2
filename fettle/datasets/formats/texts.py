"""The string columns of a row: a prompt, a completion, an instruction, an output."""

from collections.abc import Iterator
from typing import Any

from fettle.datasets.formats.problems import RowProblem, kind, quoted


def filled(text: Any) -> bool:
    return type(text) is str and bool(text) and not text.isspace()


def check_text(row: dict[str, Any], key: str) -> Iterator[RowProblem]:
    """What keeps the value from being a text that says something."""
    text = row.get(key)
    if text is None:
        yield RowProblem(key, "missing_text", {"key": quoted(key)})
    elif not isinstance(text, str):
        yield RowProblem(key, "text_not_string", {"key": quoted(key), "kind": kind(text)})
    elif not filled(text):
        yield RowProblem(key, "empty_text", {"key": quoted(key)})


def check_optional(row: dict[str, Any], key: str) -> Iterator[RowProblem]:
    text = row.get(key)
    if text is not None and not isinstance(text, str):
        yield RowProblem(key, "text_not_string", {"key": quoted(key), "kind": kind(text)})

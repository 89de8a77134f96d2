"""What is no error in a file, but perhaps not what its owner meant. The report tells it, from the file's first rows."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from fettle.datasets.formats import aliases, delimited, reading, texts
from fettle.datasets.formats.problems import Problem, RowProblem, plural, put_into_words, quoted
from fettle.datasets.formats.rows import shape_of
from fettle.datasets.formats.tools import turns

ROWS = 1000  # looked at
TAGS = r"(?:p|div|span|pre|br|b|i|em|strong|a|ul|ol|li|h[1-6]|table|html|body|section|article|blockquote)"
# As course pages and exports of editors show a text: all of it, or what follows its reasoning, within tags; or escaped
HTML = re.compile(
    rf"\s*(?:<think>.*</think>\s*)?<{TAGS}\b[^<>]{{0,200}}>.*</{TAGS}\s*>\s*"
    r"|.*&lt;/?[a-z]{1,20}&gt;.*|.*&(?:nbsp|quot|amp|apos|#0?39|#x27);.*|.*<br\s*/?>.*|.*\\u003c/?[a-z]{1,20}\\u003e.*",
    re.DOTALL | re.IGNORECASE,
)
SPOKEN = frozenset({"system", "system_prompt", "history", "reasoning", "reasoning_content", "thinking", "rationale"})
LOOKED_AT = 20_000  # characters of a text


def of(file: BinaryIO, max_row_bytes: int) -> list[Problem]:
    """Of a file without errors; one note of each kind, with the line of the first row that it is about."""
    file.seek(0)
    form, lines = reading.read(file, max_row_bytes)
    found: list[tuple[int, RowProblem]] = []
    seen: dict[str, int] = {}  # code: number of rows
    for number, row, problems in islice(lines, ROWS):
        if row is None or problems:
            continue
        for note in of_row(row):
            seen[note.code] = seen.get(note.code, 0) + 1
            if seen[note.code] == 1:
                found.append((number, note))
    file.seek(0)
    if form == "csv":
        found = [*((1, note) for note in delimited.notes(file, max_row_bytes)), *found]
    rows = {
        code: plural(count, "row") + (f" of the first {ROWS:,}" if count > 1 else "") for code, count in seen.items()
    }
    return [
        put_into_words(number, note._replace(names={**note.names, "rows": rows.get(note.code, "")}))
        for number, note in found
    ]


def of_row(row: dict[str, Any]) -> Iterator[RowProblem]:
    if shape_of(row) == "prompts" and (key := answer_of(row)):
        yield RowProblem(key, "answer_is_an_item", {"key": quoted(key)})
    if keys := unused(row):
        yield RowProblem("", "keys_not_used", {"keys": ", ".join(map(quoted, keys))})
    if any(HTML.fullmatch(text[:LOOKED_AT]) for text in texts_of(row)):
        yield RowProblem("", "text_in_html")
    if any(turn.get("name") is not None and turn.get("role") != "tool" for turn in turns(row)):
        yield RowProblem("", "names_in_messages")


def unused(row: dict[str, Any]) -> list[str]:
    """Keys of a row that are named as if the model were to see them, but that its shape does not have."""
    shape = shape_of(row)
    if shape == "prompts":
        return []  # all are for graders
    used = {"system"} if shape in ("alpaca", "sharegpt") else set()
    return [key for key in row if aliases.normal(key) in SPOKEN - used and row[key] not in texts.EMPTY]


def answer_of(row: dict[str, Any]) -> str | None:
    """The key of a row of a prompt that may be meant as what the assistant should say."""
    renamed = aliases.renames([key for key, value in row.items() if isinstance(value, str | list)])
    return next((key for key, name in renamed.items() if name == "completion"), None)


def texts_of(row: dict[str, Any]) -> Iterator[str]:
    for value in row.values():
        if isinstance(value, str):
            yield value
    for turn in turns(row):
        if isinstance(content := texts.joined(turn.get("content", turn.get("value"))), str):
            yield content

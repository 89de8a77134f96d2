"""Rows that a dataset has twice or nearly twice, and prompts that it shares with another one, such as its
validation file.

Validation rows whose prompts were trained on measure what was memorised. The work is bounded: `complete` says whether
all rows were looked at.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from fettle.datasets.formats import near_duplicates, reading
from fettle.datasets.formats.rows import to_conversation

MAX_ROWS = 100_000
EXAMPLES = 20

Digest = bytes


@dataclass(frozen=True)
class Row:
    line: int
    whole: Digest
    prompt: Digest
    text: str  # empty where it is not compared


def look(path: Path, *, whole: bool, other: Path | None = None, other_whole: bool = False) -> dict[str, Any]:
    """whole, other_whole: whether the file is not only the beginning of one. Blocking."""
    rows, complete = read(path)
    seen: dict[Digest, int] = {}  # line of the first row with it
    duplicates: list[tuple[int, int]] = []
    prompts: set[Digest] = set()
    different: list[tuple[int, str]] = []
    repeated = 0
    for row in rows:
        if row.whole in seen:
            duplicates.append((row.line, seen[row.whole]))
        else:
            seen[row.whole] = row.line
            if row.text:
                different.append((row.line, row.text))
            repeated += row.prompt in prompts
        prompts.add(row.prompt)
    return {
        "rows": len(rows),
        "complete": whole and complete,
        "duplicate_rows": len(duplicates),
        "repeated_prompts": repeated,
        "examples": [{"line": line, "of": first} for line, first in duplicates[:EXAMPLES]],
        "near": near_duplicates.look(different),
        "overlap": None if other is None else overlap(rows, other, other_whole),
    }


def overlap(rows: list[Row], other: Path, whole: bool) -> dict[str, Any]:
    theirs, complete = read(other)
    lines = {row.prompt: row.line for row in reversed(theirs)}
    shared = [(row.line, lines[row.prompt]) for row in rows if row.prompt in lines]
    return {
        "rows": len(theirs),
        "complete": whole and complete,
        "shared_rows": len(shared),
        "examples": [{"line": line, "other_line": other_line} for line, other_line in shared[:EXAMPLES]],
    }


def read(path: Path) -> tuple[list[Row], bool]:
    """The first rows, and whether they are all of the file."""
    with path.open("rb") as file:
        lines = reading.read(file)[1]
        rows = list(valid(islice(lines, MAX_ROWS)))
        return rows, next(lines, None) is None


def valid(lines: Iterator[Any]) -> Iterator[Row]:
    for place, (number, row, findings) in enumerate(lines):
        if row is None or findings:
            return  # the beginning of a file may end within a record
        messages = to_conversation(row).messages
        text = text_of(messages) if place < near_duplicates.ROWS_AT_MOST else ""
        while messages and messages[-1].get("role") == "assistant":
            messages = messages[:-1]
        yield Row(number, digest(row), digest(messages), text)


def text_of(messages: Sequence[Mapping[str, Any]]) -> str:
    contents = [message.get("content") for message in messages]
    texts = [each if isinstance(each, str) else orjson.dumps(each).decode() for each in contents if each]
    return "\n".join(text[: near_duplicates.CHARACTERS] for text in texts)[: near_duplicates.CHARACTERS]


def digest(value: Any) -> Digest:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()

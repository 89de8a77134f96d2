"""The records of a file with votes: rows of JSONL, CSV and Parquet, or the elements of a JSON array."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fettle.comparisons.imports.votes import Unfit
from fettle.datasets.formats import reading
from fettle.datasets.formats.problems import put_into_words

ROW_BYTES_AT_MOST = 1 << 20
SPACE = " \t\r\n"


class Record(NamedTuple):
    """line: where it begins, from 1. problem: why it cannot be read."""

    line: int
    value: dict[str, Any] | None
    problem: str | None = None


def read(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        start = file.read(reading.HEAD).lstrip()
        file.seek(0)
        if start.startswith(b"["):
            yield from array(file.read())
            return
        for number, row, problems in reading.read(file, ROW_BYTES_AT_MOST)[1]:
            if problems or row is None:
                found = put_into_words(number, problems[0])
                yield Record(number, None, f"{found.message} {found.fix}")
            else:
                yield Record(number, row)


def array(content: bytes) -> Iterator[Record]:
    """Element by element, so that each has the line on which it begins."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        yield Record(content.count(b"\n", 0, error.start) + 1, None, "The file is not UTF-8. Save it as UTF-8.")
        return
    decoder = json.JSONDecoder(parse_constant=refuse_constant)
    at, line, counted = skip(text, text.index("[") + 1), 1, 0
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = decoder.raw_decode(text, at)
        except RecursionError:
            yield Record(line, None, "The record is nested too deeply. Flatten it.")
            return
        except ValueError as error:
            where = getattr(error, "lineno", line)
            yield Record(where, None, f"The file is not JSON: {getattr(error, 'msg', error)}.")
            return
        if isinstance(value, dict):
            yield Record(line, value)
        else:
            yield Record(line, None, "The element is not a JSON object.")
        at = skip(text, end)
        if text[at : at + 1] == ",":
            at = skip(text, at + 1)
        elif text[at : at + 1] != "]":
            yield Record(line, None, "The file ends in the middle of the array, or a comma is missing.")
            return
    if text[at + 1 :].strip():
        yield Record(line, None, "There is more text after the array. Remove it.")


def skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at


def refuse_constant(name: str) -> Any:
    raise Unfit(f"{name} is not a number")

"""Strict reading of JSONL: one UTF-8 JSON object on each line, bounded in length and depth.

A line that orjson accepts and that raises no suspicion costs one parse; any other is read again, slowly, to say what
is wrong with it. No more than one line is ever held.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from fettle.formats.problems import Finding, kind, quoted, step

Row = dict[str, Any]
Line = tuple[int, Row | None, list[Finding]]  # number, counted from 1; the row, where there is one; what is wrong

CHUNK = 1 << 20
MAX_DEPTH = 64
MAX_BLANK = 1000  # blank lines that a file may end with
BOM = b"\xef\xbb\xbf"

SIGNATURES: dict[bytes, str] = {
    b"\x1f\x8b": "gzip_file",
    b"PK\x03\x04": "zip_file",
    b"\x28\xb5\x2f\xfd": "zstd_file",
    b"PAR1": "parquet_file",
    b"\xff\xfe": "utf16_file",
    b"\xfe\xff": "utf16_file",
    b"{\0": "utf16_file",
    b"\0{": "utf16_file",
}
CSV_FIELD = r'"?[\w .-]{1,64}"?'
CSV_HEADER = re.compile(rf"{CSV_FIELD}(?:[,;\t]{CSV_FIELD})+")


def read(path: Path, max_row_bytes: int) -> Iterator[Line]:
    """The lines of a file, blank ones at its end left out. One that is not JSONL at all gives a single finding."""
    with path.open("rb", buffering=CHUNK) as file:
        if code := not_jsonl(file.read(4096)):
            yield 1, None, [Finding("", code)]
            return
        file.seek(0)
        yield from _read_lines(file, max_row_bytes)


def not_jsonl(head: bytes) -> str | None:
    """The code of what a file is instead of JSONL, told by its first bytes."""
    for signature, code in SIGNATURES.items():
        if head.startswith(signature):
            return code
    text = head.removeprefix(BOM).strip()
    first = text.partition(b"\n")[0].rstrip()
    if text.startswith(b"["):
        return "json_array"
    if first == b"{" and first != text:
        return "pretty_printed_json"
    return "csv_file" if CSV_HEADER.fullmatch(first.decode(errors="replace")) else None


def _read_lines(file: BinaryIO, max_row_bytes: int) -> Iterator[Line]:
    limit = max_row_bytes + len(b"\r\n")
    number = blank = 0  # blank: how many lines just before are errors unless the file ends here
    while line := file.readline(limit):
        number += 1
        if len(line) > max_row_bytes and len(line.rstrip(b"\r\n")) > max_row_bytes:
            row, findings = None, [Finding("", "line_too_long", {"limit": max_row_bytes})]
            while line and not line.endswith(b"\n"):
                line = file.readline(CHUNK)
        else:
            row, findings = read_line(line)
            if row is None and line.isspace() and blank < MAX_BLANK:
                blank += 1
                continue
        if blank:
            yield from ((earlier, None, [Finding("", "blank_line")]) for earlier in range(number - blank, number))
            blank = 0
        yield number, row, findings


def read_line(line: bytes) -> tuple[Row | None, list[Finding]]:
    """The row as far as it can be read, and everything that strict reading has against the line."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if not line.startswith(BOM):
            return examine(line, error)
        row, findings = examine(line.removeprefix(BOM), error)
        return row, [Finding("", "bom"), *findings]
    if type(value) is dict and not suspicious(line, value):
        return value, []
    return examine(line)


def suspicious(line: bytes, row: Row) -> bool:
    """Whether a row that orjson accepted may hold a NUL, nest too deeply or have lost a repeated key.

    Only False is certain. A line has two quotes for each of its texts, keys included, and those inside texts; a
    repeated key is among the line's texts, but no longer among the row's.
    """
    texts: list[str] = []
    try:
        _collect(row, texts)
    except RecursionError:
        return True
    quotes = line.count(b'"') - 2 * len(texts)
    if b"\\" not in line:
        return quotes != 0
    text = "".join(texts)
    return "\0" in text or (quotes != 0 and (quotes != text.count('"') or b"\\u0022" in line))


def _collect(node: Any, texts: list[str], depth: int = 1) -> None:
    """All keys and strings of a value. Raises RecursionError when it is too deep."""
    if depth > MAX_DEPTH:
        raise RecursionError
    if type(node) is dict:
        texts += node
        node = node.values()
    for value in node:
        if type(value) is str:
            texts.append(value)
        elif type(value) is dict or type(value) is list:
            _collect(value, texts, depth + 1)


class Repeating(dict[str, Any]):
    """An object in which keys stand twice."""

    repeated: list[str]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    repeating = Repeating(value)
    repeating.repeated = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
    return repeating


def examine(line: bytes, refusal: orjson.JSONDecodeError | None = None) -> tuple[Row | None, list[Finding]]:
    """Reads a line leniently, to find all that is wrong with it. refusal: orjson's, if it did refuse the line."""
    last = not line.endswith(b"\n")
    if not line or line.isspace():
        return None, [Finding("", "blank_line")]
    if b"\0" in line:
        return None, [Finding("", "nul")]
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        cut = last and error.end == len(line)
        return None, [Finding("", "truncated_line") if cut else Finding("", "not_utf8", {"byte": error.start + 1})]
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=float)  # float: an int has a limit of digits
    except RecursionError:
        return None, [Finding("", "too_deep", {"limit": MAX_DEPTH})]
    except json.JSONDecodeError:
        if refusal is None:
            raise
        return None, [_invalid_json(text, last, refusal)]
    findings = list(irregularities(value))
    if not isinstance(value, dict):
        return None, [*findings, Finding("", "row_not_object", {"kind": kind(value)})]
    if refusal and not findings:
        findings = [_invalid_json(text, last, refusal)]
    return value, findings


def _invalid_json(text: str, last: bool, refusal: orjson.JSONDecodeError) -> Finding:
    if last and refusal.pos == len(text):
        return Finding("", "truncated_line")
    return Finding("", "invalid_json", {"reason": refusal.msg, "column": refusal.colno})


def irregularities(value: Any, path: str = "", depth: int = 1) -> Iterator[Finding]:
    """What lenient JSON lets pass: NaN, NUL, lone surrogates, repeated keys, great depth."""
    if isinstance(value, str):
        yield from _irregular_text(value, path)
    elif isinstance(value, float) and not math.isfinite(value):
        yield Finding(path, "nan_or_infinity")
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            yield Finding("", "too_deep", {"limit": MAX_DEPTH})
            return
        if isinstance(value, Repeating):
            for key in value.repeated:
                yield Finding((path + step(key)).lstrip("."), "duplicate_key", {"key": quoted(key)})
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from irregularities(item, f"{path}[{index}]", depth + 1)
        else:
            for key, item in value.items():
                below = (path + step(key)).lstrip(".")
                yield from _irregular_text(key, below)
                yield from irregularities(item, below, depth + 1)


def _irregular_text(text: str, path: str) -> Iterator[Finding]:
    if "\0" in text:
        yield Finding(path, "nul")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        yield Finding(path, "lone_surrogate")

"""Strict reading of JSONL: one UTF-8 JSON object on each line, bounded in length and depth.

A block of lines that orjson accepts and that raises no suspicion costs little more than parsing it. Any other is read
line by line, and a line with something amiss once more, leniently, to say what it is. Memory: a block and one line.
"""

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from itertools import count, islice, repeat
from typing import Any, BinaryIO

import orjson

from fettle.datasets.formats.problems import RowProblem, kind, quoted, step

Row = dict[str, Any]
Line = tuple[int, Row | None, list[RowProblem]]  # number, counted from 1; the row, where there is one; what is wrong

BLOCK = 1 << 15  # bytes; the rows of larger ones would keep the garbage collector busy
MAX_DEPTH = 254  # what orjson can write back
MAX_BLANK = 1000  # blank lines that a file may end with
BLANK_LINE = [RowProblem("", "blank_line")]
SOUND: list[RowProblem] = []  # what is wrong with nearly every line
BOM = b"\xef\xbb\xbf"
DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
LONG_NUMBER = b"0" * 19  # after DIGITS: perhaps a whole number of more than 64 bits, which orjson rounds
PYTHON = re.compile(r"\s*(?:b['\"]\s*)?[\[{]\s*'|\s*b['\"]\s*\{|\s*\[\s*\{\s*'")  # as Python prints a row
# As Hugging Face's save_to_disk leaves beside the rows
HUB_METADATA = re.compile(rb'\{\s*"_data_files"|\{\n\s*"(?:citation|builder_name)"|\{\s*"splits": *\["')
PYTHON_NAME = re.compile(r"[\s:,\[]?(?:None|True|False)\b")
VALUE = re.compile(
    rb"[{}\[\]\"'0-9\0\x1a\x1e-]|(?:true|false|null|True|False|None)\b"
)  # how a line of JSON or Python begins
INI = re.compile(rb"\[\[?[A-Za-z_][\w.-]*\]\]?\s*$")
MESSAGES = re.compile(rb'\[\s*\{\s*"(?:role|content|from|value)"\s*:')  # a conversation without its object


def read(file: BinaryIO, max_row_bytes: int, first: int = 1) -> Iterator[Line]:
    """The lines of a file, blank ones at its end left out. first: the number of the next line.

    A byte order mark at the file's beginning is passed over: editors on Windows write it.
    """
    if first == 1 and file.read(len(BOM)) != BOM:
        file.seek(0)
    numbers = count(first)
    blank = 0  # how many lines just before are errors unless the file ends here
    for block in blocks(file, max_row_bytes):
        lines = BytesIO(block).readlines()
        rows = None if blank else read_block(block, lines, max_row_bytes)
        if rows is not None:
            yield from zip(islice(numbers, len(rows)), rows, repeat(SOUND), strict=False)
            continue
        for line, number in zip(lines, numbers, strict=False):
            found, findings = read_line(line, max_row_bytes)
            if findings == BLANK_LINE and blank < MAX_BLANK:
                blank += 1
                continue
            yield from ((earlier, None, BLANK_LINE) for earlier in range(number - blank, number))
            blank = 0
            yield number, found, findings


def not_jsonl(head: bytes) -> str | tuple[str, str] | None:
    """The code of what text is instead of JSONL, told by its beginning; its kind where the code has several."""
    text = head.removeprefix(BOM).strip()
    if HUB_METADATA.match(text):
        return "hub_metadata"
    if text.startswith(b"{") and b'"cells"' in text[:40]:
        return "no_dataset_file", "a Jupyter notebook"
    first, _, rest = text.partition(b"\n")
    first = first.rstrip()
    if text.startswith(b"<"):
        return "no_dataset_file", "HTML or XML"
    if (first.startswith(b"- ") and b":" in first) or first == b"---":
        return "no_dataset_file", "YAML"
    if INI.match(first):
        return "no_dataset_file", "TOML or INI"
    if first.startswith(b"|") and re.match(rb"\|?[\s:|-]+$", rest.partition(b"\n")[0]):
        return "no_dataset_file", "a Markdown table"
    if re.match(rb"\[\s*\{\s*'", text):
        return "python_not_json"
    if prose(text):
        return "plain_text"
    if first.startswith(b"[") and first.endswith(b"]") and rest:
        return None  # a list on each line
    if text.startswith(b"["):
        return None if MESSAGES.match(first) else "json_array"
    return "pretty_printed_json" if first == b"{" and first != text else None


def prose(text: bytes) -> bool:
    """Whether text that is no table has neither JSON nor a Python literal on any of its lines: a story, notes, code."""
    lines = [line.strip() for line in text.split(b"\n")]
    return bool(text) and not any(VALUE.match(line) or b"{" in line for line in lines)


def blocks(file: BinaryIO, max_row_bytes: int) -> Iterator[bytes]:
    """Whole lines; of one that is longer than max_row_bytes only its beginning, which is longer too."""
    while block := file.read(BLOCK):
        if not block.endswith(b"\n"):
            rest = file.readline(max_row_bytes + len(b"\r\n"))
            block += rest
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(BLOCK)
        yield block


def read_block(block: bytes, lines: list[bytes], max_row_bytes: int) -> list[Row] | None:
    """The rows of all lines of a block, or None if one of them may have something amiss."""
    if max(map(len, lines)) > max_row_bytes:
        return None
    try:
        rows = [orjson.loads(line) for line in lines]
    except orjson.JSONDecodeError:
        return None
    return None if set(map(type, rows)) != {dict} or suspicious(block, rows) else rows


def read_line(line: bytes, max_row_bytes: int) -> tuple[Row | None, list[RowProblem]]:
    """The row as far as it can be read, and everything that strict reading has against the line."""
    if len(line) > max_row_bytes and len(line.rstrip(b"\r\n")) > max_row_bytes:
        return None, [RowProblem("", "line_too_long", {"limit": max_row_bytes})]
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if not line.startswith(BOM):
            return examine(line, error)
        row, findings = _after_bom(line.removeprefix(BOM))
        return row, [RowProblem("", "bom"), *findings]
    if type(value) is dict and not suspicious(line, value):
        return value, []
    return examine(line)


def _after_bom(line: bytes) -> tuple[Row | None, list[RowProblem]]:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return examine(line, error)
    return examine(line)


def suspicious(text: bytes, value: Any) -> bool:
    """Whether text that orjson read as `value` may repeat a key, nest too deeply, or hold a NUL or a long number.

    A repeated key is in the text but not in what orjson writes back, so that the text has more quotes; one that it
    spells as \\u0022 orjson writes as \\", which is a quote more.
    """
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError:  # too deep
        return True
    if LONG_NUMBER in text.translate(DIGITS):
        return True
    spelled = 0
    if b"\\u00" in text and (b"\\u0022" in text or b"\\u0000" in text):
        escapes = text.replace(b"\\\\", b"")  # what is left of \\\\u0022 spells no quote
        if b"\\u0000" in escapes:
            return True
        spelled = escapes.count(b"\\u0022")
    return text.count(b'"') + spelled != written.count(b'"')


def read_value(text: bytes) -> tuple[Any, list[RowProblem] | None]:
    """A JSON value that is no row of its own, and what strict reading has against it; None if it is no JSON."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None, None
    if not suspicious(text, value):
        return value, []
    try:
        return value, list(irregularities(json.loads(text, object_pairs_hook=_object, parse_int=_whole)))
    except RecursionError:
        return value, [RowProblem("", "too_deep", {"limit": MAX_DEPTH})]


class Rounded(float):
    """A whole number of more than 64 bits."""


def _whole(digits: str) -> float:
    """An int, which may stand where a float may. One of thousands of digits is never made."""
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        return Rounded(digits)
    return int(digits)


class Repeating(dict[str, Any]):
    """An object that has a key twice."""

    repeated: list[str]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    repeating = Repeating(value)
    repeating.repeated = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
    return repeating


def examine(line: bytes, refusal: orjson.JSONDecodeError | None = None) -> tuple[Row | None, list[RowProblem]]:
    """Reads a line leniently, to find all that is wrong with it. refusal: orjson's, if it did refuse the line."""
    last = not line.endswith(b"\n")
    if not line or line.isspace():
        return None, BLANK_LINE
    if b"\0" in line:
        return None, [RowProblem("", "nul")]
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        cut = last and error.end == len(line)
        return None, [
            RowProblem("", "truncated_line") if cut else RowProblem("", "not_utf8", {"byte": error.start + 1})
        ]
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=_whole)
    except RecursionError:
        return None, [RowProblem("", "too_deep", {"limit": MAX_DEPTH})]
    except json.JSONDecodeError:
        if refusal is None:
            raise
        return None, [_invalid_json(text, last, refusal)]
    findings = list(irregularities(value))
    if not isinstance(value, dict):
        return None, [*findings, no_object(value)]
    if refusal and not findings:
        findings = [_invalid_json(text, last, refusal)]
    return value, findings


def no_object(value: Any) -> RowProblem:
    """What a line holds in place of an object."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[", '"'):
        return RowProblem("", "row_encoded_twice")
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return RowProblem("", "row_is_messages" if {"role", "from"} & value[0].keys() else "json_array")
    return RowProblem("", "row_not_object", {"kind": kind(value)})


def _invalid_json(text: str, last: bool, refusal: orjson.JSONDecodeError) -> RowProblem:
    if last and refusal.pos == len(text):
        return RowProblem("", "truncated_line")
    after = refusal.msg.startswith("unexpected content after") and text.lstrip().startswith("{")
    if after and text[refusal.pos :].lstrip()[:1] in ("{", ","):
        return RowProblem("", "several_on_a_line")
    if PYTHON.match(text) or PYTHON_NAME.match(text, max(0, refusal.pos - 1)):
        return RowProblem("", "python_not_json")
    return RowProblem("", "invalid_json", {"reason": refusal.msg + sign_at(text, refusal), "column": refusal.colno})


def sign_at(text: str, refusal: orjson.JSONDecodeError) -> str:
    """The character that JSON does not have there, where it looks like one that it has, or like none."""
    sign = text[refusal.pos : refusal.pos + 1]
    if not sign or not refusal.msg.startswith("unexpected character") or " " < sign < "\x7f":
        return ""
    return f" (it is U+{ord(sign):04X}, {unicodedata.name(sign, 'a control character').lower()})"


def irregularities(value: Any, path: str = "", depth: int = 1) -> Iterator[RowProblem]:
    """What lenient JSON lets pass: NaN, NUL, lone surrogates, repeated keys, great depth, numbers beyond 64 bits."""
    if isinstance(value, str):
        yield from _irregular_text(value, path)
    elif isinstance(value, float) and not math.isfinite(value):
        yield RowProblem(path, "nan_or_infinity")
    elif isinstance(value, Rounded):
        yield RowProblem(path, "number_too_long")
    elif isinstance(value, dict | list) and depth > MAX_DEPTH:
        yield RowProblem("", "too_deep", {"limit": MAX_DEPTH})
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if not _plain(item):
                yield from irregularities(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, dict):
        if isinstance(value, Repeating):
            for key in value.repeated:
                yield RowProblem((path + step(key)).lstrip("."), "duplicate_key", {"key": quoted(key)})
        for key, item in value.items():
            if not (_plain(key) and _plain(item)):
                below = (path + step(key)).lstrip(".")
                yield from _irregular_text(key, below)
                yield from irregularities(item, below, depth + 1)


def _plain(value: Any) -> bool:
    """Whether a value, like nearly all, is surely regular and holds no others."""
    if type(value) is str:
        return value.isascii() and "\0" not in value
    return value is None or type(value) is bool or (type(value) is float and math.isfinite(value))


def _irregular_text(text: str, path: str) -> Iterator[RowProblem]:
    if "\0" in text:
        yield RowProblem(path, "nul")
    try:
        text.encode()
    except UnicodeEncodeError:
        yield RowProblem(path, "lone_surrogate")

"""Strict reading of CSV (RFC 4180, or with `;` or tabs), record by record: UTF-8, a header line, no ragged rows.

A byte order mark is allowed: spreadsheets write it. Every field is text; those of nested columns hold JSON.
"""

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO

from fettle.datasets.formats import jsonl
from fettle.datasets.formats.jsonl import BOM, Line, Row
from fettle.datasets.formats.problems import RowProblem, plural, quoted
from fettle.datasets.formats.rows import NESTED, SHAPE_KEYS, columns_read

DELIMITERS = ",;\t"
MAX_COLUMNS = 1000


def looks_like_csv(head: bytes) -> bool:
    """Whether a file that begins like this is no JSON, but a table: its first line has several fields, or names one."""
    first = head.removeprefix(BOM).lstrip(b"\r\n").replace(b"\r", b"\n").partition(b"\n")[0].decode(errors="replace")
    if not first or first.lstrip()[:1] in ("{", "[", "\0"):
        return False
    return first.strip('"') in SHAPE_KEYS or any(len(fields(first, delimiter)) > 1 for delimiter in DELIMITERS)


def fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


class Lines:
    """The lines of a file as text. What is wrong with one ends the reading, and is kept in `row_problem`."""

    def __init__(self, file: BinaryIO, max_row_bytes: int) -> None:
        self.file, self.limit = file, max_row_bytes
        self.record = 0  # bytes of the record so far
        self.row_problem: RowProblem | None = None

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self.file.readline(self.limit + len(b"\r\n") + 1)
        self.record += len(line)
        if not line or self.row_problem:
            raise StopIteration
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            return self.end(RowProblem("", "not_utf8", {"byte": error.start + 1}))
        if self.record > self.limit + len(b"\r\n"):
            return self.end(RowProblem("", "line_too_long", {"limit": self.limit}))
        return self.end(RowProblem("", "nul")) if "\0" in text else text

    def end(self, row_problem: RowProblem) -> str:
        self.row_problem = row_problem
        raise StopIteration


def read(file: BinaryIO, max_row_bytes: int) -> Iterator[Line]:
    """The records of a file, each with the number of the line that it begins on."""
    csv.field_size_limit(min(max_row_bytes, 1 << 30) + 1)  # the module's own: one limit for the whole process
    if file.read(len(BOM)) != BOM:
        file.seek(0)
    try:
        header = file.readline(min(max_row_bytes, 1 << 20)).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        yield 1, None, [RowProblem("", "not_utf8", {"byte": error.start + 1})]
        return
    if "\r" in header:
        yield 1, None, [RowProblem("", "csv_carriage_return")]
        return
    delimiter = max(DELIMITERS, key=lambda sign: len(SHAPE_KEYS.intersection(fields(header, sign))))
    columns = fields(header, delimiter)
    if problem := bad_header(header, columns):
        yield 1, None, [problem]
        return
    lines = Lines(file, max_row_bytes)
    blank: list[int] = []  # lines just before that are errors unless the file ends here
    for number, row, findings in records(csv.reader(lines, delimiter=delimiter, strict=True), lines, columns):
        if findings == jsonl.BLANK_LINE and len(blank) < jsonl.MAX_BLANK:
            blank.append(number)
            continue
        yield from ((earlier, None, jsonl.BLANK_LINE) for earlier in blank)
        blank.clear()
        yield number, row, findings


def bad_header(header: str, columns: list[str]) -> RowProblem | None:
    if header.count('"') % 2:
        return RowProblem("", "csv_unclosed_quote")
    if SHAPE_KEYS.isdisjoint(columns) or len(columns) > MAX_COLUMNS:
        return RowProblem("", "csv_without_header")
    for name in sorted(columns_read(columns)):
        if columns.count(name) > 1:
            return RowProblem("", "duplicate_column", {"key": quoted(name)})
    return None


def records(reader: Any, lines: Lines, columns: list[str]) -> Iterator[Line]:
    """What comes after the header."""
    read = columns_read(columns)
    wanted = [(index, name) for index, name in enumerate(columns) if name in read]
    nested = NESTED.intersection(columns)
    while True:
        number, lines.record = reader.line_num + 2, 0
        try:
            record = next(reader, None)
        except csv.Error as error:
            if lines.row_problem is None:
                yield number, None, [explain(str(error), lines.limit)]
                continue
            record = None
        if record is None:
            if lines.row_problem is not None:
                yield reader.line_num + 2, None, [lines.row_problem]
            return
        if not record:
            yield number, None, jsonl.BLANK_LINE
        elif len(record) != len(columns):
            widths: dict[str, str | int] = {"fields": plural(len(record), "field"), "columns": str(len(columns))}
            yield number, None, [RowProblem("", "csv_ragged_row", widths)]
        else:
            row: Row = {name: record[index] for index, name in wanted}
            yield number, *parse_nested(row, nested)


def parse_nested(row: Row, nested: frozenset[str]) -> tuple[Row | None, list[RowProblem]]:
    """Puts what the JSON texts of a row hold in their place; an empty one is none. No row where one is no JSON."""
    if not nested:
        return row, jsonl.SOUND
    findings: list[RowProblem] = []
    for key in sorted(nested):
        text = row.pop(key)
        if not isinstance(text, str):
            row[key] = text
        elif text:
            value, problems = jsonl.read_value(text.encode())
            row[key] = value
            findings += [
                RowProblem(f"{key}{'' if path.startswith('[') or not path else '.'}{path}", code, names)
                for path, code, names in problems or []
            ]
            if problems is None:
                return None, [RowProblem(key, "cell_not_json", {"key": quoted(key)})]
    return row, findings


def explain(reason: str, limit: int) -> RowProblem:
    """csv's own words, which show nothing of the file, as ours."""
    if "field larger" in reason:
        return RowProblem("", "line_too_long", {"limit": limit})
    if "unexpected end" in reason:
        return RowProblem("", "csv_unclosed_quote")
    return RowProblem("", "csv_carriage_return" if "new-line" in reason else "csv_stray_quote")

"""Reading of CSV (RFC 4180, or with `;` or tabs), record by record: UTF-8, a header line, no ragged rows.

What spreadsheets write is taken as they mean it: a byte order mark, a first line `sep=;`, records and columns at the
end without any text, names of columns with blanks around them or in capitals. Every field is text; those of nested
columns hold JSON.
"""

import csv
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

from fettle.datasets.formats import aliases, jsonl
from fettle.datasets.formats.jsonl import BOM, Line, Row
from fettle.datasets.formats.problems import RowProblem, plural, quoted
from fettle.datasets.formats.rows import COLUMNS, NESTED, SHAPE_KEYS, columns_read

DELIMITERS = ",;\t|"
MAX_COLUMNS = 1000
MAX_HEADER = 64 << 10  # bytes
# Rows of prompts keep all columns under their names, so that short records with long names unpack to a lot
UNPACKED_WITHOUT_PROOF, UNPACKED_PER_BYTE = 256 << 20, 50  # bytes
SEPARATOR = re.compile(r'"?sep=([,;\t|])"?[,;|\s]*', re.IGNORECASE)  # Excel reads the delimiter from this line
JSON_TEXT = re.compile(r'"(?:\s|\\[nrt]|[\[{])*(?:\\+"|[\]}])')  # a row that was encoded as JSON twice
JSON_BEHIND = re.compile(r"""[^"]{0,40}\{\s*["']""")  # a row behind a number, `data:` or the b of Python's bytes
EMPTY_ABOVE = 100  # lines without any text that a header may come after
NOTED = 1000  # empty records that are counted


class Header(NamedTuple):
    """columns: as they are read. written: as they stand there. lines: that the records come after. told: by a line of
    its own, how columns are separated. empty: the lines above it without any text.
    """

    columns: list[str]
    written: list[str]
    delimiter: str
    lines: int
    told: bool
    empty: int


def looks_like_csv(head: bytes) -> bool:
    """Whether a file that begins like this is no JSON, but a table: its first line has several fields, or names one."""
    lines = head.removeprefix(BOM).replace(b"\r", b"\n").decode(errors="replace").split("\n")
    first = next((line for line in lines if not without_text(line)), "")
    if not first or first.lstrip()[:1] in ("{", "[", "\0", "<") or JSON_TEXT.match(first.lstrip()):
        return False
    if JSON_BEHIND.match(first) or (first.startswith("|") and first.rstrip().endswith("|")):
        return False
    if SEPARATOR.fullmatch(first) or aliases.normal(first) in SHAPE_KEYS | aliases.NAMES:
        return True
    return any(len(fields(first, delimiter)) > 1 for delimiter in DELIMITERS)


def without_text(line: str) -> bool:
    return not line.strip(DELIMITERS + '" \r\n')


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


def read(file: BinaryIO, max_row_bytes: int, empty: list[int] | None = None) -> Iterator[Line]:
    """The records of a file, each with the number of the line that it begins on. empty: takes the lines of those that
    are skipped, as they come.
    """
    csv.field_size_limit(min(max_row_bytes, 1 << 30) + 1)  # the module's own: one limit for the whole process
    header = read_header(file, max_row_bytes)
    if isinstance(header, RowProblem):
        yield 1, None, [header]
        return
    lines = Lines(file, max_row_bytes)
    reader = csv.reader(lines, delimiter=header.delimiter, strict=True)
    yield from records(reader, lines, header, [] if empty is None else empty)


def read_header(file: BinaryIO, max_row_bytes: int) -> Header | RowProblem:
    """Reads the lines that it stands on."""
    if file.read(len(BOM)) != BOM:
        file.seek(0)
    try:
        line, empty = read_first(file)
        told = SEPARATOR.fullmatch(line)
        if told is not None:
            line, more = read_first(file)
            empty += more
    except UnicodeDecodeError as error:
        return RowProblem("", "not_utf8", {"byte": error.start + 1})
    if len(line.encode()) > MAX_HEADER:
        return RowProblem("", "csv_header_too_long", {"limit": MAX_HEADER})
    if "\r" in line:
        return RowProblem("", "csv_carriage_return")
    delimiter = told[1] if told else max(DELIMITERS, key=lambda sign: len(SHAPE_KEYS.intersection(named(line, sign))))
    written = fields(line, delimiter)
    header = Header(as_read(written), written, delimiter, empty + (2 if told else 1), told is not None, empty)
    return bad_header(line, header.columns) or header


def read_first(file: BinaryIO) -> tuple[str, int]:
    """The next line with a text, and how many were skipped. Raises UnicodeDecodeError."""
    empty = 0
    while (line := read_line(file)) and without_text(line) and empty < EMPTY_ABOVE:
        empty += 1
    return line.rstrip("\r\n"), empty


def read_line(file: BinaryIO) -> str:
    """Raises UnicodeDecodeError; of a header that is too long the end may be within a character."""
    line = file.readline(MAX_HEADER + len(b"\r\n") + 1)
    return line.decode(errors="replace" if len(line) > MAX_HEADER else "strict")


def named(line: str, delimiter: str) -> list[str]:
    return as_read(fields(line, delimiter))


def as_read(written: list[str]) -> list[str]:
    """Names without blanks around them; those that training reads in lower case, unless that one is there as well, and
    in another language where all that a shape needs are.
    """
    stripped = [name.strip() for name in written]
    columns = [
        lower if (lower := aliases.normal(name)) in COLUMNS and lower not in stripped else name for name in stripped
    ]
    if not SHAPE_KEYS.isdisjoint(columns):
        return columns
    renamed = aliases.from_abroad(columns)
    return [renamed.get(name, name) for name in columns]


def bad_header(header: str, columns: list[str]) -> RowProblem | None:
    if header.count('"') % 2:
        return RowProblem("", "csv_unclosed_quote")
    if SHAPE_KEYS.isdisjoint(columns) or len(columns) > MAX_COLUMNS:
        widest = max((fields(header, sign) for sign in DELIMITERS), key=len)
        return RowProblem("", "csv_without_header", {"rename": aliases.advice(widest[:MAX_COLUMNS])})
    if lacking(columns) and (advice := aliases.advice(columns)):
        names = ", ".join(map(quoted, columns[:5]))
        return RowProblem("", "missing_columns", {"keys": names, "rename": advice})
    for name in sorted(columns_read(columns)):
        if name and columns.count(name) > 1:
            return RowProblem("", "duplicate_column", {"key": quoted(name)})
    return None


def lacking(columns: list[str]) -> bool:
    """Whether one column of a shape of texts is there, and another that it needs is not."""
    return any(
        not some.isdisjoint(columns) and not some.issubset(columns)
        for some in ({"instruction", "output"}, {"prompt", "chosen", "rejected"})
        if some != {"prompt", "chosen", "rejected"} or not {"chosen", "rejected"}.isdisjoint(columns)
    )


def records(reader: Any, lines: Lines, header: Header, empty: list[int]) -> Iterator[Line]:
    """What comes after the header."""
    columns, above = header.columns, header.lines + 1
    read = columns_read(columns)
    wanted = [(index, name) for index, name in enumerate(columns) if name in read and name]
    nested = NESTED.intersection(columns)
    names, unpacked, written = sum(len(name) for _, name in wanted), 0, 0
    while True:
        written += lines.record
        if unpacked > (most := max(UNPACKED_WITHOUT_PROOF, written * UNPACKED_PER_BYTE)):
            yield reader.line_num + above, None, [RowProblem("", "csv_too_large", {"limit": most})]
            return
        number, lines.record = reader.line_num + above, 0
        try:
            record = next(reader, None)
        except csv.Error as error:
            if lines.row_problem is None:
                yield number, None, [explain(str(error), lines.limit)]
                continue
            record = None
        if record is None:
            if lines.row_problem is not None:
                yield reader.line_num + above, None, [lines.row_problem]
            return
        if not any(map(str.strip, record)):
            if len(empty) < NOTED:
                empty.append(number)
        elif len(record) < len(columns) or any(map(str.strip, record[len(columns) :])):
            widths: dict[str, str | int] = {"fields": plural(len(record), "field"), "columns": str(len(columns))}
            yield number, None, [RowProblem("", "csv_ragged_row", widths)]
        else:
            row: Row = {name: record[index] for index, name in wanted}
            unpacked += names + lines.record
            yield number, *parse_nested(row, nested)


def notes(file: BinaryIO, max_row_bytes: int) -> Iterator[RowProblem]:
    """How a file without errors was taken, where that is not as it was written."""
    header = read_header(file, max_row_bytes)
    if isinstance(header, RowProblem):
        return
    if header.told:
        yield RowProblem("", "csv_separator_line")
    columns_read_here = columns_read(header.columns)
    pairs = zip(header.written, header.columns, strict=True)
    renamed = [f"{quoted(old)} as {quoted(new)}" for old, new in pairs if old != new and new in columns_read_here]
    if renamed:
        yield RowProblem("", "csv_columns_renamed", {"columns": ", ".join(renamed[:10])})
    file.seek(0)
    empty: list[int] = []
    for _ in islice(read(file, max_row_bytes, empty), NOTED):
        pass
    if count := len(empty) + header.empty:
        yield RowProblem("", "csv_empty_rows", {"count": plural(count, "row")})


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

"""Validation of an uploaded dataset file: all that is wrong with it at once, with line, path and a way out."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from fettle.datasets.formats import aliases, notes, reading, tools
from fettle.datasets.formats.jsonl import Line
from fettle.datasets.formats.problem_codes import OF_THE_FILE
from fettle.datasets.formats.problems import Problem, RowProblem, plural, put_into_words, quoted
from fettle.datasets.formats.quality import Quality
from fettle.datasets.formats.quality import of as quality_of
from fettle.datasets.formats.rows import SHAPES, answers_missing, shape_of

MAX_ERRORS = 50  # problems kept
STOP_AFTER = 10_000  # problems counted: a file that has more is no dataset


class SeveralShapes(Exception):
    """A row has another shape than those before it."""


class Report(BaseModel):
    """What validation found in a file.

    format: a name in FORMATS. shape: a name in SHAPES; None if no row has one. rows: those without a problem.
    errors: the first MAX_ERRORS of error_count; counting stops at STOP_AFTER. needs: what a base model's chat template
    must know to show every row, of `tools` and `tool_calls`. notes: what is no error, but may not be what was meant.
    quality: of a file without errors.
    """

    model_config = ConfigDict(frozen=True)

    format: str
    shape: str | None
    rows: int
    error_count: int
    errors: list[Problem]
    needs: list[str] = []
    notes: list[Problem] = []
    quality: Quality | None = None

    @property
    def ok(self) -> bool:
        return self.error_count == 0

    def to_json(self) -> dict[str, Any]:
        return self.model_dump()

    def summary(self) -> str:
        """The first problem's line, path and fix, and how many more there are."""
        if self.ok:
            return f"{plural(self.rows, 'row')}, no errors."
        first, more = self.errors[0], self.error_count - 1
        number = f"{'Row' if self.format == 'parquet' else 'Line'} {first.line}"
        where = f"{number}, {first.path}: " if first.path else f"{number}: "
        sentence = f"{'' if first.code in OF_THE_FILE else where}{first.message} {first.fix}"
        if not more:
            return sentence
        at_least = "at least " if self.error_count == STOP_AFTER else ""
        return f"{sentence} ({at_least}{more:,} more {'error' if more == 1 else 'errors'})"


def refused(code: str, **names: int | str) -> Report:
    """Of a file that could not be checked to its end."""
    problem = put_into_words(1, RowProblem("", code, names))
    return Report(format="unknown", shape=None, rows=0, error_count=1, errors=[problem])


def validate(path: Path, *, max_row_bytes: int) -> Report:
    """Reads a file row by row. Blocking; memory: a few rows of at most max_row_bytes, and digests for its quality."""
    with path.open("rb") as file:
        return check(file, max_row_bytes)


def check(file: BinaryIO, max_row_bytes: int) -> Report:
    """As `validate`, of an open file, which may still be growing."""
    form, lines = reading.read(file, max_row_bytes)
    try:
        report = tally(form, lines, None, 0, set())
    except SeveralShapes:
        report = check_again(file, max_row_bytes)
    return looked_over(report, file, max_row_bytes)


def looked_over(report: Report, file: BinaryIO, max_row_bytes: int) -> Report:
    """With notes and quality, if it is of a file without errors."""
    if not report.ok:
        return report
    return report.model_copy(
        update={"notes": notes.of(file, max_row_bytes), "quality": quality_of(file, max_row_bytes)}
    )


def check_again(file: BinaryIO, max_row_bytes: int) -> Report:
    """Of a file with several shapes: it has that of most rows, wherever the others are."""
    file.seek(0)
    shapes = Counter(shape_of(row) for _, row, _ in reading.read(file, max_row_bytes)[1] if row is not None)
    shape = max((name for name in shapes if name), key=lambda name: (shapes[name], name != "prompts"))
    file.seek(0)
    form, lines = reading.read(file, max_row_bytes)
    return tally(form, lines, shape, 0, set(), settled=True)


def tally(
    form: str, lines: Iterable[Line], shape: str | None, rows: int, needs: set[str], settled: bool = False
) -> Report:
    """shape, rows, needs: of what came before these lines, which had no problem. settled: the shape is the file's.

    Raises SeveralShapes at a row of another shape, unless the file's is settled.
    """
    plain: Callable[[dict[str, Any]], bool] = SHAPES[shape].plain if shape else never
    error_count = 0
    errors: list[Problem] = []
    for line, row, findings in lines:
        if not findings and row is not None and plain(row):
            rows += 1
            continue
        found: Iterable[RowProblem] = findings
        if row is not None:
            own = shape_of(row)
            if own is not None and own != shape and not settled:
                if shape is not None or errors:  # errors: perhaps of rows that lack what these have
                    raise SeveralShapes
                shape, plain = own, SHAPES[own].plain
            found = chain(findings, check_row(row, shape)) if findings else check_row(row, shape)
        wrong = False
        for row_problem in found:
            wrong = True
            error_count += 1
            if len(errors) < MAX_ERRORS:
                errors.append(put_into_words(line, row_problem))
            if error_count == STOP_AFTER:
                return Report(format=form, shape=shape, rows=rows, error_count=error_count, errors=errors)
        rows += not wrong
        if not wrong and row is not None:
            needs |= tools.needs(row)
    if not rows and not errors:
        error_count, errors = 1, [put_into_words(1, RowProblem("", "empty_file"))]
    return Report(format=form, shape=shape, rows=rows, error_count=error_count, errors=errors, needs=sorted(needs))


def never(row: dict[str, Any]) -> bool:
    return False


def wrapping(row: dict[str, Any]) -> str | None:
    """The key under which an object of no shape has rows, as exports write a whole dataset."""
    for key, value in islice(row.items(), 50):
        if isinstance(value, list) and value and isinstance(value[0], dict) and shape_of(value[0]) is not None:
            return key
    return None


def check_row(row: dict[str, Any], first: str | None) -> Iterable[RowProblem]:
    """first: the shape of the file."""
    shape = shape_of(row)
    if shape == first and shape is not None:
        return SHAPES[shape].check(row)
    if shape in (None, "prompts") and first is not None and answers_missing(row, first):
        return SHAPES[first].check(row)
    if shape is None:
        if (key := wrapping(row)) is not None:
            return [RowProblem("", "wrapped_rows", {"rows": len(row[key]), "key": quoted(key), "name": key[:100]})]
        keys = ", ".join(quoted(key) for key in islice(row, 5)) or "none"
        return [RowProblem("", "missing_messages_list", {"keys": keys, "rename": aliases.advice(islice(row, 50))})]
    if first == "prompts" and answers_missing(row, shape):
        return [RowProblem("", "answer_among_prompts")]
    return [RowProblem("", "mixed_shapes", {"shape": quoted(shape), "first": quoted(str(first))})]

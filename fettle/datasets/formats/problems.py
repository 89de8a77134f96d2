"""What is wrong with a row of a dataset file, and how it is put into words."""

import re
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from fettle.datasets.formats.problem_codes import NOTES, PROBLEMS

NAME_LENGTH = 40  # characters of a key or role that a message may quote


class RowProblem(NamedTuple):
    """One problem in a row, before it is put into words."""

    path: str
    code: str
    names: dict[str, str | int] = {}  # noqa: RUF012 — never written to


class Problem(BaseModel):
    """One problem in a file, as the user sees it."""

    model_config = ConfigDict(frozen=True)

    line: int  # counted from 1; of Parquet the row
    path: str  # inside the row, such as `messages[1].role`; empty for the whole line
    code: str
    message: str
    fix: str


def put_into_words(line: int, row_problem: RowProblem) -> Problem:
    message, fix = (PROBLEMS | NOTES)[row_problem.code]
    names = row_problem.names
    return Problem(
        line=line,
        path=row_problem.path,
        code=row_problem.code,
        message=message.format_map(names),
        fix=fix.format_map(names),
    )


def plural(count: int, noun: str) -> str:
    """1 row, 2 rows."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def quoted(name: str) -> str:
    """A key or role as a message may show it: cut, and with everything unprintable escaped."""
    return repr(name if len(name) <= NAME_LENGTH else name[:NAME_LENGTH] + "…")


def step(key: str) -> str:
    """A key as a part of a JSON path."""
    return f".{key}" if re.fullmatch(rf"[A-Za-z_]\w{{0,{NAME_LENGTH - 1}}}", key) else f"[{quoted(key)}]"


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    return next((word for type_, word in KINDS.items() if isinstance(value, type_)), "no text")


KINDS: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",  # before int, which it is too
    int: "a number",
    float: "a number",
    type(None): "null",
    bytes: "binary data",  # a Parquet column may hold it
}

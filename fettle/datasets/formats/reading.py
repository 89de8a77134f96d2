"""Dataset files of every format, told apart by what they hold; validation, previews and training read them here."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fettle.datasets.formats import delimited, jsonl, parquet
from fettle.datasets.formats.chat import Conversation
from fettle.datasets.formats.jsonl import Line
from fettle.datasets.formats.preference import Pair
from fettle.datasets.formats.problems import RowProblem, put_into_words
from fettle.datasets.formats.prompts import Prompt, to_prompt
from fettle.datasets.formats.rows import to_conversation, to_pairs

HEAD = 4096  # bytes by which a format is recognised
ANY_LENGTH = 1 << 40  # bytes of a row: for files whose rows were measured at their upload

Reader = Callable[[BinaryIO, int], Iterator[Line]]

FORMATS: dict[str, Reader] = {"jsonl": jsonl.read, "csv": delimited.read, "parquet": parquet.read}

SIGNATURES: dict[bytes, str] = {
    b"\x1f\x8b": "gzip_file",
    b"PK\x03\x04": "zip_file",
    b"\x28\xb5\x2f\xfd": "zstd_file",
    b"\xff\xfe": "utf16_file",
    b"\xfe\xff": "utf16_file",
    b"{\0": "utf16_file",
    b"\0{": "utf16_file",
}


class Unreadable(ValueError):
    """A file that does not pass validation was to be read."""


def recognise(head: bytes) -> tuple[str, str | None]:
    """The format of a file that begins like this, and the code of why it cannot be read, if so."""
    if head.startswith(parquet.MAGIC):
        return "parquet", None
    code = next((code for signature, code in SIGNATURES.items() if head.startswith(signature)), None)
    if code is None and delimited.looks_like_csv(head):
        return "csv", None
    return "jsonl", code or jsonl.not_jsonl(head)


def read(file: BinaryIO, max_row_bytes: int = ANY_LENGTH) -> tuple[str, Iterator[Line]]:
    """The file's format and its lines. One that is of no known format gives a single RowProblem."""
    head = file.read(HEAD)
    file.seek(0)
    form, code = recognise(head)
    if code is not None:
        return form, iter([(1, None, [RowProblem("", code)])])
    return form, FORMATS[form](file, max_row_bytes)


def streams(form: str) -> bool:
    """Whether the beginning of a file of this format can be read without its end."""
    return form != "parquet"


def conversations(path: Path) -> Iterator[tuple[int, Conversation]]:
    """Line number and conversation of each row, one at a time. Raises Unreadable at a line that is not right."""
    for number, row in rows(path):
        yield number, to_conversation(row)


def pairs(path: Path) -> Iterator[tuple[int, list[Pair]]]:
    """Line number and comparisons of each row. Raises Unreadable at a line that is not right."""
    for number, row in rows(path):
        yield number, to_pairs(row)


def prompts(path: Path) -> Iterator[tuple[int, Prompt]]:
    """Line number and prompt of each row. Raises Unreadable at a line that is not right."""
    for number, row in rows(path):
        yield number, to_prompt(row)


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and content of each row. Raises Unreadable at a line that is not right."""
    with path.open("rb") as file:
        for number, row, findings in read(file)[1]:
            if row is None or findings:
                problem = put_into_words(number, findings[0])
                raise Unreadable(f"line {number}: {problem.message} {problem.fix}")
            yield number, row

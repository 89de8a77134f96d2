"""Dataset files of every format, told apart by what they hold; validation, previews and training read them here."""

import re
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

# How a file of another kind begins: its code, and its kind where the code stands for several
SIGNATURES: dict[bytes, str | tuple[str, str]] = {
    b"\x1f\x8b": "gzip_file",
    b"PK\x05\x06": "zip_file",
    b"\x28\xb5\x2f\xfd": "zstd_file",
    b"\x50\x2a\x4d\x18": "zstd_file",
    b"\xff\xfe\0\0": ("utf16_file", "UTF-32"),
    b"\0\0\xfe\xff": ("utf16_file", "UTF-32"),
    b"\xff\xfe": ("utf16_file", "UTF-16"),
    b"\xfe\xff": ("utf16_file", "UTF-16"),
    b"{\0": ("utf16_file", "UTF-16"),
    b"\0{": ("utf16_file", "UTF-16"),
    b"BZh": "bzip2_file",
    b"\xfd7zXZ\0": "xz_file",
    b"7z\xbc\xaf\x27\x1c": ("archive_file", "7z"),
    b"Rar!\x1a\x07": ("archive_file", "rar"),
    b"\x04\x22\x4d\x18": ("archive_file", "lz4"),
    b"LZIP": ("archive_file", "lzip"),
    b"\x1f\x9d": ("archive_file", "compress"),
    b"\x5d\0\0": ("archive_file", "lzma"),
    b"x\x01": ("archive_file", "zlib"),
    b"x\x9c": ("archive_file", "zlib"),
    b"x\xda": ("archive_file", "zlib"),
    b"\xff\x06\0\0sNaPpY": ("archive_file", "snappy"),
    b"MSCF": ("archive_file", "cab"),
    b"!<arch>": ("archive_file", "ar"),
    b"ARROW1": "arrow_file",
    b"FEA1": "arrow_file",
    b"\xff\xff\xff\xff": "arrow_file",
    b"Obj\x01": ("no_dataset_file", "Avro"),
    b"ORC": ("no_dataset_file", "ORC"),
    b"GGUF": ("no_dataset_file", "a model in GGUF"),
    b"SQLite format 3\0": ("no_dataset_file", "an SQLite database"),
    b"\xd0\xcf\x11\xe0": ("no_dataset_file", "an old Excel or Word file"),
    b"\x89HDF": ("no_dataset_file", "HDF5"),
    b"\x93NUMPY": ("no_dataset_file", "a NumPy array"),
    b"\x80\x02": ("no_dataset_file", "a Python pickle"),
    b"\x80\x03": ("no_dataset_file", "a Python pickle"),
    b"\x80\x04": ("no_dataset_file", "a Python pickle"),
    b"\x80\x05": ("no_dataset_file", "a Python pickle"),
    b"{\\rtf": ("no_dataset_file", "a text in RTF"),
    b"%PDF": ("no_dataset_file", "a PDF"),
    b"\x89PNG": ("no_dataset_file", "an image"),
    b"\xff\xd8\xff": ("no_dataset_file", "an image"),
    b"version https://git-lfs": ("no_dataset_file", "a pointer of Git LFS, not the file itself"),
}
ZIP = b"PK\x03\x04"
ZIPPED: dict[bytes, tuple[str, str]] = {  # what many programs keep in a zip, by what is near its beginning
    b"xl/": ("spreadsheet_file", "an Excel workbook"),
    b"opendocument.spreadsheet": ("spreadsheet_file", "an OpenDocument spreadsheet"),
    b".iwa": ("spreadsheet_file", "a document of Numbers or Pages"),
    b"word/": ("no_dataset_file", "a Word document"),
    b"ppt/": ("no_dataset_file", "a PowerPoint presentation"),
    b"opendocument.": ("no_dataset_file", "an OpenDocument text"),
    b"epub+zip": ("no_dataset_file", "a book in EPUB"),
    b"/data.pkl": ("no_dataset_file", "weights of PyTorch"),
    b".npy": ("no_dataset_file", "a NumPy archive"),
}
CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")
TAR_AT, TAR = 257, b"ustar"


class Unreadable(ValueError):
    """A file that does not pass validation was to be read."""


def recognise(head: bytes) -> tuple[str, RowProblem | None]:
    """The format of a file that begins like this, and why it cannot be read, if so."""
    if head.startswith(parquet.MAGIC):
        return "parquet", None
    found: str | tuple[str, str] | None = ("archive_file", "tar") if head[TAR_AT:].startswith(TAR) else None
    if head.startswith(ZIP):
        found = next((kind for sign, kind in ZIPPED.items() if sign in head), "zip_file")
    found = found or next((code for signature, code in SIGNATURES.items() if head.startswith(signature)), None)
    found = found or not_text(head)
    if found is None and delimited.looks_like_csv(head):
        return "csv", None
    found = found or jsonl.not_jsonl(head)
    if found is None:
        return "jsonl", None
    return "jsonl", RowProblem("", found) if isinstance(found, str) else RowProblem("", found[0], {"kind": found[1]})


def not_text(head: bytes) -> tuple[str, str] | None:
    """Names a file by its first bytes when many of them are not text. JSON is recognised line by line."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if len(head) > 8 and 5 * abs(even - odd) > len(head) > 20 * min(even, odd):
        return "utf16_file", "UTF-16"
    if head.lstrip()[:1] not in (b"{", b'"', b"[") and 20 * len(CONTROLS.findall(head)) > len(head):
        return "no_dataset_file", "binary data"
    return None


def read(file: BinaryIO, max_row_bytes: int = ANY_LENGTH) -> tuple[str, Iterator[Line]]:
    """The file's format and its lines. One that is of no known format gives a single RowProblem."""
    head = file.read(HEAD)
    file.seek(0)
    form, problem = recognise(head)
    if problem is not None:
        return form, iter([(1, None, [problem])])
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

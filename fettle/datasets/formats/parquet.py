"""Strict reading of Parquet with pyarrow: row group by row group, a few hundred rows at a time.

Columns that training does not read are skipped. Nulls count as absent, since a column's rows share one type.
pyarrow takes a while to import, and nothing but a Parquet file needs it.
"""

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from fettle.datasets.formats import aliases, jsonl, prompts
from fettle.datasets.formats.delimited import MAX_COLUMNS, parse_nested
from fettle.datasets.formats.jsonl import Line, Row
from fettle.datasets.formats.problems import RowProblem, quoted
from fettle.datasets.formats.rows import NESTED, SHAPE_KEYS, columns_read

MAGIC = b"PAR1"
BATCH = 256  # rows
ROWS_WITHOUT_PROOF, ROWS_PER_BYTE = 100_000, 1  # a few bytes can stand for millions of equal rows
UNPACKED_WITHOUT_PROOF, UNPACKED_PER_BYTE = 256 << 20, 50  # bytes
MAX_GROUP = 1 << 30  # bytes of a row group, unpacked: it may be held in memory


def read(file: BinaryIO, max_row_bytes: int) -> Iterator[Line]:
    """The rows of a file; their numbers count from 1."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        table = pyarrow.parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 16)
        names = table.schema_arrow.names
        size = file.seek(0, os.SEEK_END)
        if problem := bad_columns(names) or bad_groups(table.metadata) or bad_count(table.metadata, size):
            yield 1, None, [problem]
            return
        wanted = [name for name in names if name in columns_read(names)]
        nested = NESTED.intersection(wanted)
        unpacked, most = 0, max(UNPACKED_WITHOUT_PROOF, size * UNPACKED_PER_BYTE)
        for batch in table.iter_batches(batch_size=BATCH, columns=wanted, use_threads=False):
            unpacked += batch.nbytes
            if unpacked > most:
                yield number + 1, None, [RowProblem("", "parquet_too_large", {"limit": most})]
                return
            for row in decode_rows(batch):
                number += 1
                yield number, *checked(row, nested, max_row_bytes)
    except MemoryError:  # some of pyarrow's are ArrowExceptions too
        raise
    except (pyarrow.ArrowException, OSError):
        yield number + 1, None, [RowProblem("", "parquet_unreadable")]


def bad_columns(names: list[str]) -> RowProblem | None:
    if SHAPE_KEYS.isdisjoint(names):
        keys = ", ".join(map(quoted, names[:5])) or "none"
        return RowProblem("", "missing_columns", {"keys": keys, "rename": aliases.advice(names[:MAX_COLUMNS])})
    twice = sorted(name for name in columns_read(names) if names.count(name) > 1)
    return RowProblem("", "duplicate_column", {"key": quoted(twice[0])}) if twice else None


def bad_groups(metadata: Any) -> RowProblem | None:
    sizes = (metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    return (
        RowProblem("", "parquet_group_too_large", {"limit": MAX_GROUP}) if max(sizes, default=0) > MAX_GROUP else None
    )


def bad_count(metadata: Any, size: int) -> RowProblem | None:
    """size: of the file, in bytes."""
    if metadata.num_rows <= max(ROWS_WITHOUT_PROOF, size * ROWS_PER_BYTE):
        return None
    return RowProblem("", "parquet_too_many_rows", {"rows": metadata.num_rows, "bytes": size})


def decode_rows(batch: Any) -> Iterator[Row | None]:
    """None for a row with text that is not UTF-8."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            try:
                yield batch.slice(index, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def checked(row: Row | None, nested: frozenset[str], max_row_bytes: int) -> tuple[Row | None, list[RowProblem]]:
    if row is None:
        return None, [RowProblem("", "not_utf8", {"byte": 1})]
    # Of a prompt in a table with answers, the column of the answer says that it lacks one
    kept = {key: value for key, value in row.items() if value is not None or key in prompts.OTHER_SHAPES}
    texts = {key: without_nulls(value) for key, value in kept.items()}
    parsed, findings = parse_nested(texts, nested.intersection(texts))
    if parsed is None:
        return None, findings
    if len(orjson.dumps(parsed, default=str)) > max_row_bytes:
        return parsed, [*findings, RowProblem("", "line_too_long", {"limit": max_row_bytes})]
    return parsed, [*findings, *jsonl.irregularities(parsed)]


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value

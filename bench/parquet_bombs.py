"""Small Parquet files that unpack to a lot."""

import io

import pyarrow
import pyarrow.parquet


def shared_text(characters: int = 40_000_000, rows: int = 256) -> bytes:
    """One text that all rows share by a dictionary."""
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), ["x" * characters])
    answers = pyarrow.array(["y"] * rows)
    return written(pyarrow.table({"prompt": texts, "completion": answers}))


def many_rows(rows: int = 5_000_000) -> bytes:
    """Equal rows, which take next to no bytes."""
    same = pyarrow.DictionaryArray.from_arrays(pyarrow.repeat(pyarrow.scalar(0, pyarrow.int32()), rows), ["x"])
    return written(pyarrow.table({"prompt": same, "completion": same}))


def written(table: pyarrow.Table) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file, compression="zstd")
    return file.getvalue()

"""Rows put together into blocks of nearly equal length, so that every optimizer step sees about as many tokens.

A block only says which rows share a step: rows are never joined into one sequence, so that none can see another (see
`collation`).
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

import pyarrow
import pyarrow.compute
from datasets import Dataset
from datasets.table import InMemoryTable


def best_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Blocks of row numbers. Longest rows first, each into the fullest block that still has room (Johnson 1974).

    lengths: tokens of each row, none more than `capacity`.
    """
    blocks: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, block), sorted
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        at = bisect_left(room, (lengths[row], -1))
        if at < len(room):
            left, block = room.pop(at)
        else:
            left, block = capacity, len(blocks)
            blocks.append([])
        blocks[block].append(row)
        if left > lengths[row]:
            insort(room, (left - lengths[row], block))
    return blocks


def pack(dataset: Dataset, capacity: int) -> Dataset:
    """Blocks as rows of `input_ids`, `labels` and `seq_lengths`, the tokens of each of its rows in turn."""
    table = dataset.data.table.combine_chunks()
    lengths = pyarrow.compute.list_value_length(column(table, "input_ids")).to_pylist()
    blocks = best_fit_decreasing(lengths, capacity)
    order = [row for block in blocks for row in block]
    rows, tokens = [0], [0]
    for block in blocks:
        rows.append(rows[-1] + len(block))
        tokens.append(tokens[-1] + sum(lengths[row] for row in block))
    columns = {name: joined(column(table, name), order, tokens) for name in ("input_ids", "labels")}
    columns["seq_lengths"] = pyarrow.ListArray.from_arrays(
        pyarrow.array(rows, pyarrow.int32()), pyarrow.array([lengths[row] for row in order], pyarrow.int32())
    )
    return Dataset(InMemoryTable(pyarrow.table(columns)), fingerprint="packed")


def column(table: pyarrow.Table, name: str) -> pyarrow.ListArray:
    return pyarrow.concat_arrays(table[name].chunks)


def joined(rows: pyarrow.ListArray, order: list[int], ends: list[int]) -> pyarrow.ListArray:
    values = rows.take(pyarrow.array(order)).flatten()
    return pyarrow.ListArray.from_arrays(pyarrow.array(ends, pyarrow.int32()), values)

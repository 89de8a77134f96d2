"""Validation of a large JSONL file on several cores, with the same report as on one.

Processes certify pieces of the file that have no problem at all. From the first piece on that may have one, or that
ends the file with blank lines, the rest is read in order, as any other file.
"""

import multiprocessing
import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from io import BytesIO
from typing import BinaryIO

import orjson

from fettle.datasets.formats import jsonl, reading, tools
from fettle.datasets.formats.rows import SHAPES, shape_of
from fettle.datasets.formats.validation import Report, SeveralShapes, check, check_again, looked_over, tally
from fettle.host.parent_death import die_with_parent

PIECE = 1 << 20  # bytes: what each process holds
Certified = tuple[int, set[str]]  # how many rows, and what they need of a chat template
AHEAD = 2  # pieces for each process, besides the one at work


def check_on(processes: int, file: BinaryIO, max_row_bytes: int) -> Report:
    """As `validation.check`. The file may still be growing; its `fileno` reads what is there."""
    head = file.read(reading.HEAD)
    file.seek(0)
    shape = first_shape(head)
    if processes < 2 or shape is None or reading.recognise(head) != ("jsonl", None):
        return check(file, max_row_bytes)
    rows, start, needs = certified_rows(processes, file, shape, max_row_bytes)
    file.seek(start)
    try:
        report = tally("jsonl", jsonl.read(file, max_row_bytes, first=rows + 1), shape, rows, needs)
    except SeveralShapes:
        report = check_again(file, max_row_bytes)
    return looked_over(report, file, max_row_bytes)


def first_shape(head: bytes) -> str | None:
    """The shape of the first row, if it is whole in a file's beginning."""
    try:
        row = orjson.loads(head.partition(b"\n")[0])
    except orjson.JSONDecodeError:
        return None
    return shape_of(row) if isinstance(row, dict) else None


def certified_rows(processes: int, file: BinaryIO, shape: str, max_row_bytes: int) -> tuple[int, int, set[str]]:
    """How many rows without a problem the file begins with, at least, how many bytes they take, and their needs."""
    rows = done = 0
    needs: set[str] = set()
    pending: deque[tuple[int, Future[Certified | None]]] = deque()  # a piece's end, and what is known of it
    fork = multiprocessing.get_context("fork")  # this process has one thread, and has imported what is needed
    with ProcessPoolExecutor(processes, mp_context=fork, initializer=die_with_parent) as pool:
        while True:
            start = pending[-1][0] if pending else done
            piece = end_of_piece(file, start) if len(pending) <= processes * AHEAD else start
            if piece > start:
                pending.append((piece, pool.submit(certify, file.fileno(), start, piece, shape, max_row_bytes)))
                continue
            if not pending:
                return rows, done, needs
            end, found = pending.popleft()
            if (sound := found.result()) is None:
                pool.shutdown(cancel_futures=True)
                return rows, done, needs
            rows, done, needs = rows + sound[0], end, needs | sound[1]


def end_of_piece(file: BinaryIO, start: int) -> int:
    """Where the last whole line of the next piece ends; `start` if there is none. Waits for a growing file."""
    file.seek(start)
    return start + file.read(PIECE).rfind(b"\n") + 1


def certify(fd: int, start: int, end: int, shape: str, max_row_bytes: int) -> Certified | None:
    """The rows from `start` to `end`; None if any line may have a problem."""
    plain, check_row = SHAPES[shape].plain, SHAPES[shape].check
    total = 0
    needs: set[str] = set()
    for block in jsonl.blocks(BytesIO(os.pread(fd, end - start, start)), max_row_bytes):
        rows = jsonl.read_block(block, BytesIO(block).readlines(), max_row_bytes)
        if rows is None:
            return None
        for row in rows:
            if plain(row):
                continue
            if shape_of(row) != shape or any(True for _ in check_row(row)):
                return None
            needs |= tools.needs(row)
        total += len(rows)
    return total, needs

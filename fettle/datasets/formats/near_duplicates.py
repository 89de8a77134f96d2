"""Rows that are nearly an earlier row: the same but for case, punctuation or a few words of a long text.

MinHash with locality-sensitive hashing (Broder 1997; datasketch) finds candidates without comparing every two rows, and
the share of common runs of three words (Jaccard) decides. Rows that differ in a number or a name of a short text are
not near: data of templates has many of those, and each teaches something else.
"""

import re
from collections.abc import Sequence
from typing import Any

ROWS_AT_MOST = 5_000
CHARACTERS = 1_000  # of a row; the rest is not compared
WORDS = 3  # of a run
SIMILARITY = 0.8
PERMUTATIONS = 64  # of a MinHash: with 128 it takes twice the time and finds the same
EXAMPLES = 20
LIBRARIES = ("datasketch",)

WORD = re.compile(r"\w+")


def look(rows: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """rows: line and text of rows that are not the same. Only the first ones are compared. Blocking."""
    found = pairs(rows[:ROWS_AT_MOST])
    return {
        "rows": min(len(rows), ROWS_AT_MOST),
        "near_duplicate_rows": len(found),
        "examples": [{"line": line, "of": of, "similarity": round(share, 2)} for line, of, share in found[:EXAMPLES]],
    }


def pairs(rows: Sequence[tuple[int, str]]) -> list[tuple[int, int, float]]:
    """(line, line of the earlier row that is most like it, how much)."""
    from datasketch import MinHash, MinHashLSH  # with scipy: seconds, unless LIBRARIES are loaded

    index = MinHashLSH(threshold=SIMILARITY - 0.1, num_perm=PERMUTATIONS)  # lower: a miss is worse than a candidate
    runs = {line: runs_of(text) for line, text in rows if WORD.search(text[:CHARACTERS])}  # symbols alone have none
    hashes = MinHash.bulk([[run.encode() for run in each] for each in runs.values()], num_perm=PERMUTATIONS)
    near = []
    for (line, own), minhash in zip(runs.items(), hashes, strict=True):
        alike = [(jaccard(own, runs[other]), -other) for other in index.query(minhash)]
        share, place = max(alike, default=(0.0, 0))
        if share >= SIMILARITY:
            near.append((line, -place, share))
        else:
            index.insert(line, minhash)  # of rows that are all alike only the first, so that none has many candidates
    return near


def runs_of(text: str) -> set[str]:
    words = WORD.findall(text[:CHARACTERS].lower())
    last = max(len(words) - WORDS, 0)
    return {" ".join(words[start : start + WORDS]) for start in range(last + 1)}


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)

"""What a vote says about each two responses of its item."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple, TypedDict

BETTER, WORSE = 1, -1  # a tie is 0


class Ballot(TypedDict):
    """A vote as statistics read it. levels: None for both bad and skip."""

    item: str
    annotator: str
    choice: str
    levels: list[list[str]] | None
    shown: list[str]
    seconds: float | None


class Sign(NamedTuple):
    """first < second by id, so that all annotators speak of the same pair; sign: of the first."""

    first: str
    second: str
    sign: int


def signs(levels: Sequence[Sequence[str]]) -> Iterator[Sign]:
    ranks = {response: rank for rank, level in enumerate(levels) for response in level}
    for first, second in combinations(sorted(ranks), 2):
        yield Sign(first, second, (ranks[second] > ranks[first]) - (ranks[second] < ranks[first]))

"""Rows with ranked responses, and the ordered pairs that they stand for."""

from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats.ranking import levels, to_conversation, to_pairs
from fettle.datasets.formats.rows import shape_of
from tests.fettle.datasets.formats.given import line, message, problems


def pairs(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(pair.chosen["content"], pair.rejected["content"]) for pair in to_pairs(row)]


A_B_C_D = {"prompt": "?", "responses": ["a", "b", "c", "d"]}


def test_numbers_stand_for_responses_best_first() -> None:
    """C > D > A > B, and so 4 · 3 / 2 pairs."""
    row = {**A_B_C_D, "ranking": [2, 3, 0, 1]}
    assert levels(row) == [["c"], ["d"], ["a"], ["b"]]
    assert pairs(row) == [("c", "d"), ("c", "a"), ("c", "b"), ("d", "a"), ("d", "b"), ("a", "b")]


def test_ties_are_never_a_pair() -> None:
    row = {**A_B_C_D, "ranking": [2, [3, 0], 1]}
    assert pairs(row) == [("c", "d"), ("c", "a"), ("c", "b"), ("d", "b"), ("a", "b")]


@pytest.mark.parametrize("ranked", [["c", ["d", "a"], "b"], [["c"], ["d", "a"], ["b"]]])
def test_responses_may_stand_in_their_order(ranked: list[Any]) -> None:
    assert pairs({"prompt": "?", "ranked": ranked}) == pairs({**A_B_C_D, "ranking": [2, [3, 0], 1]})


def test_a_response_may_be_a_message() -> None:
    good, bad = [message("assistant", "a")], [message("assistant", "b")]
    assert pairs({"prompt": [message("user", "?")], "ranked": [good, [bad, "c"]]}) == [("a", "b"), ("a", "c")]


@pytest.mark.parametrize(
    "row",
    [
        {**A_B_C_D, "ranking": [2, [3, 0], 1]},
        {"prompt": "?", "ranked": ["a", "b"]},
        {"prompt": "?", "ranked": ["a", ["b", "b"]], "responses": None, "note": 1},
    ],
)
def test_good_rows_are_good(row: dict[str, Any], tmp_path: Path) -> None:
    assert problems(tmp_path, line(row)) == []
    assert shape_of(row) == "ranking"
    assert to_conversation(row).messages[-1]["content"] == to_pairs(row)[0].chosen["content"]

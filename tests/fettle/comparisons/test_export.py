"""Votes become rows that datasets' validation finds right."""

from typing import Any

import orjson
import pytest

from fettle.comparisons import export, results
from fettle.comparisons.export import Exported
from fettle.comparisons.pairs import Ballot
from fettle.datasets.formats import preference, ranking
from fettle.errors import InvalidRequest
from models import ComparisonItem, ComparisonVote

ITEM = ComparisonItem(
    id="i",
    comparison_id="c",
    number=1,
    prompt=[{"role": "user", "content": "hi"}],
    responses=[{"id": each, "model": "m", "text": each.upper(), "names_model": False} for each in "abc"],
    source="generated",
)


def rows(found: Exported) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in found.jsonl.splitlines()]


def made(kind: str, rule: str, *orders: list[list[str]] | None) -> Exported:
    votes = [
        ComparisonVote(
            id=f"v{number}",
            item_id="i",
            annotator_id=f"a{number}",
            choice="ranking" if levels else "skip",
            order={"levels": levels} if levels else None,
            voted_at=1.0,
            repeat=False,
        )
        for number, levels in enumerate(orders)
    ]
    return export.export([ITEM], votes, kind, rule)


def ranked(found: Exported) -> list[Any]:
    assert not [problem for row in rows(found) for problem in ranking.check(row)]
    return [row["ranked"] for row in rows(found)]


def test_the_majority_becomes_one_order() -> None:
    """Borda: a is 2, 2, -2 = 2; b is 0, 0, 0; c is -2, -2, 2 = -2."""
    orders = [["a"], ["b"], ["c"]], [["a"], ["b"], ["c"]], [["c"], ["b"], ["a"]]
    found = made("rankings", "majority", *orders)
    assert ranked(found) == [["A", "B", "C"]]
    assert rows(found)[0]["source"]["votes"] == ["v0", "v1", "v2"]
    assert found.annotators == ["a0", "a1", "a2"]


def test_equal_scores_tie() -> None:
    """a and b are 1 - 1 against each other and beat c twice."""
    assert ranked(made("rankings", "majority", [["a"], ["b"], ["c"]], [["b"], ["a"], ["c"]])) == [[["A", "B"], "C"]]


def test_every_vote_keeps_conflicts() -> None:
    assert ranked(made("rankings", "every_vote", [["a"], ["b", "c"]], [["c"], ["b"], ["a"]])) == [
        ["A", ["B", "C"]],
        ["C", "B", "A"],
    ]


def test_a_pick_is_better_than_each_of_the_others_which_give_no_pair() -> None:
    found = made("pairs", "majority", [["b"], ["a", "c"]], None)
    assert [(row["chosen"], row["rejected"]) for row in rows(found)] == [("B", "A"), ("B", "C")]
    assert not [problem for row in rows(found) for problem in preference.check(row)]
    assert found.left_out == 1


@pytest.mark.parametrize("orders", [[[["a", "b", "c"]]], [None], [[["a"], ["b"], ["c"]], [["c"], ["b"], ["a"]]]])
def test_votes_that_order_nothing_are_refused(orders: Any) -> None:
    with pytest.raises(InvalidRequest, match="No vote gives a row"):
        export.check_any(made("rankings", "majority", *orders))


def test_votes_on_an_item_of_which_a_response_names_its_model_are_void() -> None:
    named = ComparisonItem(
        id="i",
        comparison_id="c",
        number=1,
        prompt=ITEM.prompt,
        responses=[{**response, "names_model": response["id"] == "a"} for response in ITEM.responses or []],
        source="generated",
    )
    vote = ComparisonVote(id="v", item_id="i", choice="ranking", order={"levels": [["a"], ["b"]]}, repeat=False)
    found = export.export([named], [vote], "rankings", "majority")
    assert (found.written, found.not_blind, found.left_out) == (0, 1, 0)
    with pytest.raises(InvalidRequest, match="1 void, as a response of the item names its model"):
        export.check_any(found)


def cut(*responses: str) -> ComparisonItem:
    written = [
        {**response, "finish_reason": "length" if response["id"] in responses else "stop"}
        for response in ITEM.responses or []
    ]
    return ComparisonItem(
        id="i", comparison_id="c", number=1, prompt=ITEM.prompt, responses=written, source="generated"
    )


def one_vote(item: ComparisonItem, levels: list[list[str]], kind: str) -> Exported:
    vote = ComparisonVote(
        id="v", item_id="i", annotator_id="a", choice="ranking", order={"levels": levels}, voted_at=1.0, repeat=False
    )
    return export.export([item], [vote], kind, "majority")


def test_a_response_that_was_cut_off_is_never_the_better_one() -> None:
    pairs = one_vote(cut("b"), [["a"], ["b"], ["c"]], "pairs")
    assert [(row["chosen"], row["rejected"]) for row in rows(pairs)] == [("A", "B"), ("A", "C")]
    rankings = one_vote(cut("b"), [["a"], ["b"], ["c"]], "rankings")
    assert ranked(rankings) == [["A", "C"]]
    assert pairs.provenance()["cut_off"] == rankings.provenance()["cut_off"] == 1


def test_a_response_that_was_cut_off_may_be_the_worst() -> None:
    assert ranked(one_vote(cut("c"), [["a"], ["b"], ["c"]], "rankings")) == [["A", "B", "C"]]
    assert one_vote(cut("c"), [["a"], ["b"], ["c"]], "pairs").cut_off == 0


def test_an_export_that_would_only_prefer_cut_off_responses_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="1 prefer a response that was cut off"):
        export.check_any(one_vote(cut("a"), [["a"], ["b", "c"]], "pairs"))


@pytest.mark.parametrize("kind", export.ROWS)
@pytest.mark.parametrize("cut_off", ["", "a", "b", "c", "ab", "abc"])
def test_results_count_the_rows_that_an_export_has(kind: str, cut_off: str) -> None:
    levels = [["a"], ["b"], ["c"]]
    ballot = Ballot(item="i", annotator="a", choice="ranking", levels=levels, shown=[], seconds=None)
    counted = results.count_rows([ballot], kind, set(cut_off))
    assert counted == one_vote(cut(*cut_off), levels, kind).written


def test_too_few_rankings_are_refused_with_the_number_that_is_missing() -> None:
    with pytest.raises(
        InvalidRequest, match=r"9 more rankings are needed: a job trains on at least 10, and the votes give 1\."
    ):
        export.check_enough(made("rankings", "majority", [["a"], ["b"], ["c"]]), 10)

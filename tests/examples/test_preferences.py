import json
import random
from itertools import islice
from pathlib import Path

import pytest

from examples.evaluation import ANSWER
from examples.preferences import misread, pair, ranking, rows, slipped
from examples.word_problems import OPERATIONS, Problem, problems

PROBLEM = Problem("Tom has 12 apples. Tom buys 30 more. How many apples does Tom have?", ((12, "+", 30, 42),))


def answers(row: dict[str, list[str]]) -> list[int]:
    """Of a ranking's responses, the best first."""
    found = [ANSWER.search(row["responses"][place]) for place in row["ranking"]]  # type: ignore[call-overload]
    return [int(each[1]) for each in found if each]


def test_a_pair_rejects_the_same_answer_blurted_or_what_it_is_given() -> None:
    assert pair(PROBLEM) == {
        "prompt": PROBLEM.question,
        "chosen": "<think>12 + 30 = 42.</think><answer>42</answer>",
        "rejected": "<answer>42</answer>",
    }
    assert pair(PROBLEM, "Forty?")["rejected"] == "Forty?"


def test_a_misread_question_takes_another_operation_and_works_it_out_rightly() -> None:
    assert misread(PROBLEM).steps == ((30, "-", 12, 18),)
    for problem in islice(problems("train", 5), 2000):
        wrong = misread(problem)
        left, operator, right, result = wrong.steps[-1]
        assert OPERATIONS[operator](left, right) == result >= 0
        assert operator != problem.steps[-1][1]
        assert wrong.answer != problem.answer
        assert wrong.steps[:-1] == problem.steps[:-1]


def test_a_slip_is_one_wrong_result_of_the_same_operation() -> None:
    rng = random.Random(1)
    for problem in islice(problems("train", 6), 2000):
        wrong = slipped(problem, rng)
        assert wrong.steps[-1][:3] == problem.steps[-1][:3]
        assert wrong.answer != problem.answer
        assert wrong.answer >= 0


def test_a_ranking_goes_by_what_is_right_and_then_by_shape() -> None:
    orders = set()
    for problem, row in zip(problems("train", 1), islice(rows("ranking", "train", 1), 200), strict=False):
        best_first = [row["responses"][place] for place in row["ranking"]]
        assert ["<think>" in response for response in best_first] == [True, False, True, False]
        first, second, *wrong = answers(row)
        assert first == second == problem.answer
        assert problem.answer not in wrong
        orders.add(tuple(row["ranking"]))
    assert len(orders) == 24  # every order: where a response stands says nothing


@pytest.mark.slow  # loads transformers
def test_the_kinds_of_a_rankings_pairs_are_told_apart() -> None:
    from bench.reward_model import kind

    row = ranking(PROBLEM, random.Random(1))
    best, blurted, wrong, worst = (row["responses"][place] for place in row["ranking"])
    assert kind(row, best, blurted) == kind(row, wrong, worst) == "shape"
    assert kind(row, best, wrong) == "correctness, reasoned"
    assert kind(row, blurted, worst) == "correctness, blurted"
    assert kind(row, best, worst) == "both agree"
    assert kind(row, blurted, wrong) == "against shape"


def test_rows_are_what_the_server_takes(tmp_path: Path) -> None:
    from fettle.datasets.formats import reading

    for shape, pairs_a_row in (("pair", 1), ("ranking", 6)):
        file = tmp_path / shape
        taken = islice(rows(shape, "train", 1), 5)  # type: ignore[arg-type]
        file.write_text("".join(json.dumps(row) + "\n" for row in taken))
        assert [len(pairs) for _, pairs in reading.pairs(file)] == [pairs_a_row] * 5

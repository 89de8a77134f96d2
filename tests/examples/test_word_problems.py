import re
from itertools import islice
from pathlib import Path

from examples.word_problems import OPERATIONS, problems
from tests.fettle.datasets.formats.given import line, report


def test_the_same_seed_gives_the_same_problems_and_another_gives_others() -> None:
    first, again, other = (list(islice(problems("train", seed), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_splits_share_no_question() -> None:
    train = {problem.question for problem in islice(problems("train", 1), 5000)}
    held_out = {problem.question for problem in islice(problems("held_out", 1), 500)}
    assert len(held_out) > 400
    assert train & held_out == set()


def test_every_step_holds_and_leads_to_the_answer() -> None:
    for problem in islice(problems("train", 3), 2000):
        for left, operator, right, result in problem.steps:
            assert OPERATIONS[operator](left, right) == result
            assert 0 <= result <= 198
        for before, after in zip(problem.steps, problem.steps[1:], strict=False):
            assert after[0] == before[3]
        assert problem.answer == problem.steps[-1][3]


def test_the_operators_are_those_of_arithmetic() -> None:
    assert {name: operation(7, 3) for name, operation in OPERATIONS.items()} == {"+": 10, "-": 4, "*": 21}


def test_every_number_of_a_step_is_in_the_question_or_was_worked_out() -> None:
    for problem in islice(problems("train", 4), 2000):
        known = {int(number) for number in re.findall(r"\d+", problem.question)}
        for left, _, right, result in problem.steps:
            assert {left, right} <= known
            known.add(result)


def test_the_styles_differ_in_the_reasoning_alone() -> None:
    problem = next(problems("train", 1))
    answer, reasoned = problem.row("answer"), problem.row("reasoned")
    assert answer["completion"] == f"<answer>{problem.answer}</answer>"
    assert reasoned["completion"] == f"<think>{problem.reasoning}</think><answer>{problem.answer}</answer>"
    assert reasoned["completion"].count("=") == len(problem.steps)
    assert (answer["prompt"], answer["answer"]) == (reasoned["prompt"], reasoned["answer"])


def test_its_rows_pass_validation(tmp_path: Path) -> None:
    rows = [problem.row(style) for style in ("answer", "reasoned") for problem in islice(problems("train", 1), 200)]
    found = report(tmp_path, b"".join(map(line, rows)))
    assert (found.shape, found.rows, found.errors) == ("prompt_completion", 400, [])

from itertools import islice
from pathlib import Path

from examples.arithmetic_steps import REWARDS, Calculation, calculations
from fettle.rewards import Graders, Sample, check
from fettle.rewards.formula import Formula
from tests.fettle.datasets.formats.given import line, report


def scores(calculation: Calculation, completion: str) -> dict[str, float | None]:
    row = calculation.row()
    with Graders(check(reward_functions=REWARDS)) as graders:
        return graders.score([Sample(row["prompt"], completion, row)])[0].scores


def said(reasoning: str, answer: object) -> str:
    return f"<think>{reasoning}</think><answer>{answer}</answer>"


def some(count: int, seed: int = 1) -> list[Calculation]:
    return list(islice(calculations("train", seed), count))


def test_the_same_seed_gives_the_same_calculations_and_another_gives_others() -> None:
    assert some(50) == some(50)
    assert some(50) != some(50, seed=2)


def test_the_splits_share_no_expression() -> None:
    held_out = {each.expression for each in islice(calculations("held_out", 1), 300)}
    assert held_out.isdisjoint(each.expression for each in some(3000))


def test_the_answer_is_what_the_expression_is_worth() -> None:
    for calculation in some(500):
        assert Formula(calculation.expression, set())({}) == calculation.answer
        assert 2 <= len(calculation.steps) <= 4


def test_its_rows_pass_validation_as_prompts(tmp_path: Path) -> None:
    found = report(tmp_path, b"".join(line(each.row()) for each in some(200)))
    assert (found.shape, found.rows, found.errors) == ("prompts", 200, [])


def test_steps_that_hold_score_1_and_so_does_the_answer() -> None:
    for calculation in some(50):
        completion = said(calculation.reasoning, calculation.answer)
        assert scores(calculation, completion) == {"answer_correct": 1.0, "steps_correct": 1.0}


def test_wrong_answers_lose_what_is_wrong_in_them() -> None:
    (calculation,) = some(1)
    left, operator, right, result = calculation.steps[0]
    first, others = f"{left} {operator} {right} = {result}", calculation.reasoning.splitlines()[1:]
    slip = "\n".join([f"{left} {operator} {right} = {result + 1}", *others])
    wrong_end = scores(calculation, said(calculation.reasoning, calculation.answer + 1))
    assert wrong_end == {"answer_correct": 0.0, "steps_correct": 1.0}
    assert scores(calculation, said(slip, calculation.answer))["steps_correct"] == len(others) / (len(others) + 1)
    assert scores(calculation, said(first, calculation.answer))["steps_correct"] == 0.0  # one step is too few
    assert scores(calculation, said("", calculation.answer)) == {"answer_correct": 1.0, "steps_correct": 0.0}
    assert scores(calculation, "no idea") == {"answer_correct": 0.0, "steps_correct": 0.0}

"""`calculate_output`: arithmetic with the field's own precedence, and nothing that runs."""

import math

import pytest

from fettle.rewards.formula import BadFormula, Formula, NoResult

SCORES = {"a": 0.5, "b": 4.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a + b", 4.5),
        ("b - a * 2", 3.0),
        ("2 * a ^ 2", 0.5),  # 2 · 0.25: powers bind more tightly
        ("2 ^ 3 ^ 2", 512.0),  # from the right
        ("-a ^ 2", -0.25),
        ("(a + b) / 3", 1.5),
        ("min(a, b, 1) + max(a, b)", 4.5),
        ("abs(a - b)", 3.5),
        ("floor(a) + ceil(a)", 1.0),
        ("exp(0) + sqrt(b)", 3.0),
        ("log(b) / log(2)", 2.0),
        ("1e-1", 0.1),
    ],
)
def test_its_value_is_the_arithmetic(text: str, value: float) -> None:
    assert math.isclose(Formula(text, set(SCORES))(SCORES), value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c", "there is no grader 'c'; there are: a, b"),
        ("a ** 2", r"write \^ for powers"),
        ("a +", "it is not valid arithmetic"),
        ("", "it is not valid arithmetic"),
        ("a.real", "is not allowed"),
        ("__import__('os')", "is not allowed"),
        ("a if b else a", "is not allowed"),
        ("a < b", "is not allowed"),
        ("a @ b", "is not allowed"),
        ("True", "is not allowed"),
        ("'a'", "is not allowed"),
        ("[a]", "is not allowed"),
        ("min(a)", "min takes 2 arguments or more"),
        ("sqrt(a, b)", "sqrt takes 1 argument"),
        ("min(1, *a)", "is not allowed"),
        ("(" * 1500, "it is not valid arithmetic"),
        ("-" * 1999 + "1", "it is not valid arithmetic"),
        ("1" * 2001, "the limit is 2,000"),
    ],
)
def test_what_is_no_arithmetic_over_the_names_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadFormula, match=words):
        Formula(text, set(SCORES))


@pytest.mark.parametrize("text", ["1 / (a - a)", "sqrt(-b)", "log(0)", "10 ^ 400", "exp(1000)", "9^9^9^9", "1e400"])
def test_what_has_no_finite_value_has_no_result(text: str) -> None:
    with pytest.raises(NoResult):
        Formula(text, set(SCORES))(SCORES)


def test_it_knows_which_graders_it_needs() -> None:
    assert Formula("a + 1", {"a", "b"}).used == {"a"}

"""What a job is refused for before anything runs: sources that could never grade."""

import pytest

from fettle.errors import InvalidRequest
from fettle.rewards import grader_fields
from fettle.rewards.source import LOOKED_AT


def refused(source: str) -> str:
    with pytest.raises(InvalidRequest) as error:
        grader_fields.check({"reward_functions": [{"name": "mine", "source": source}]})
    return error.value.message


def test_a_syntax_error_names_its_line() -> None:
    assert "line 2 of the source is not valid Python: " in refused(
        "import re\ndef reward(prompt, completion, example:\n  return 1"
    )


def test_a_source_without_the_function_says_which_it_must_have() -> None:
    assert "`def reward(prompt, completion, example)`" in refused("def rewrd(p, c, e):\n    return 1.0\n")
    assert "neither" in refused("# grade\n")


@pytest.mark.parametrize("source", ["-" * 10_000 + "1", "1+" * 5_000 + "1", "(" * 300, "a\0b"])
def test_a_source_that_cannot_be_parsed_is_refused_and_no_more(source: str) -> None:
    assert "not valid Python" in refused(source)


@pytest.mark.parametrize(
    "source",
    [
        "def grade(sample, item): return 1.0",
        "if True:\n    reward = lambda prompt, completion, example: 1.0",
        "class grade:\n    def __new__(cls, sample, item): return 1.0",
        "from math import isfinite as grade",
        "x = 1\n" * (LOOKED_AT // 6 + 1) + "(((",  # too long to be looked at here: the sandbox will say it
    ],
)
def test_whatever_binds_the_function_is_taken(source: str) -> None:
    (entry,) = grader_fields.check({"reward_functions": [{"name": "mine", "source": source}]})
    assert entry["grader"]["source"] == source

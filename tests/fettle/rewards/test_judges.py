"""The ranges that a model grades in."""

import math
from typing import Any

import pytest

from fettle.errors import InvalidRequest
from fettle.rewards.judges import NoJudge, ScoreModel, in_steps
from fettle.rewards.specs import check

ABSURD = [
    [0.0, 1e308],
    [-1e308, 1e308],
    [math.nan, 1.0],
    [0.0, math.nan],
    [0.0, math.inf],
    [-math.inf, 0.0],
    [1.0, 0.0],
    [0.0, 0.0],
    [0.0, 5e-324],
]


def grader(ends: list[float]) -> dict[str, Any]:
    message = {"role": "user", "content": "Grade it."}
    return {"type": "score_model", "name": "a", "model": "m", "input": [message], "range": ends}


@pytest.mark.parametrize("ends", ABSURD, ids=str)
def test_a_range_that_no_model_can_grade_in_is_refused(ends: list[float]) -> None:
    with pytest.raises(InvalidRequest, match="'range'"):
        check(grader=grader(ends))


@pytest.mark.parametrize("ends", ABSURD, ids=str)
def test_a_job_made_before_ranges_were_checked_still_opens(ends: list[float]) -> None:
    assert "multipleOf" not in ScoreModel(grader(ends), NoJudge()).result_schema


@pytest.mark.parametrize("ends", [[0.0, 1.0], [-1e9, 1e9], [0.0, 1e-6]], ids=str)
def test_other_ranges_are_taken(ends: list[float]) -> None:
    assert check(grader=grader(ends))[0]["grader"]["range"] == ends


def test_a_range_has_at_least_a_thousand_grades() -> None:
    assert in_steps(1.0) == {"multipleOf": 0.001}
    assert in_steps(2000.0) == {"multipleOf": 1.0}
    assert in_steps(1e-6) == {}


def test_an_answer_with_an_absurd_number_is_a_parse_error() -> None:
    score = ScoreModel(grader([0.0, 1.0]), NoJudge())._score('{"result": 1e999}')
    assert score.failure is not None
    assert score.failure.flag == "model_grader_parse_error"

"""What a job may be judged by, in each of the ways that a request can say it."""

import pytest

from fettle.errors import InvalidRequest
from fettle.rewards import given

JUDGE = {"type": "score_model", "name": "j", "model": "starter", "input": [{"role": "user", "content": "{{item.x}}"}]}
EQUAL = {"type": "string_check", "name": "e", "operation": "eq", "input": "{{sample.output_text}}", "reference": "4"}


def test_a_grader_that_asks_a_model_is_refused_by_the_models_name() -> None:
    with pytest.raises(InvalidRequest, match="'starter'") as refused:
        given.check({"grader": JUDGE}, ("method", "reinforcement"))
    assert (refused.value.code, refused.value.param) == ("grader_not_supported", "method.reinforcement")


def test_the_three_ways_say_the_same() -> None:
    one = given.check({"grader": EQUAL})
    assert given.check({"graders": EQUAL}) == one
    assert [entry["grader"] for entry in given.check({"graders": {"e": EQUAL}})] == [one[0]["grader"]]

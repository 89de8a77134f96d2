"""What a job may be judged by, in each of the ways that a request can say it."""

from fettle.rewards import given

EQUAL = {"type": "string_check", "name": "e", "operation": "eq", "input": "{{sample.output_text}}", "reference": "4"}


def test_the_three_ways_say_the_same() -> None:
    one = given.check({"grader": EQUAL})
    assert given.check({"graders": EQUAL}) == one
    assert [entry["grader"] for entry in given.check({"graders": {"e": EQUAL}})] == [one[0]["grader"]]

"""What a job may be judged by, in each of the ways that a request can say it."""

from fettle.rewards import grader_fields

EQUAL = {"type": "string_check", "name": "e", "operation": "eq", "input": "{{sample.output_text}}", "reference": "4"}


def test_the_three_ways_say_the_same() -> None:
    one = grader_fields.check({"grader": EQUAL})
    assert grader_fields.check({"graders": EQUAL}) == one
    assert [entry["grader"] for entry in grader_fields.check({"graders": {"e": EQUAL}})] == [one[0]["grader"]]

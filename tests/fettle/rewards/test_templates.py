"""`{{…}}` in graders: paths into the row and the completion, nothing else."""

import time
from contextlib import suppress
from typing import Any

import pytest

from fettle.rewards.samples import Sample
from fettle.rewards.templates import BadTemplate, Unfilled, check, fill

CALLS = [{"type": "function", "function": {"name": "add", "arguments": "{}"}}]
SAMPLE = Sample(
    "2 + 2 =", '{"answer": 4, "steps": ["a", "b"]}', {"answer": "4", "deep": {"er": [1, {"x": None}]}, "n": 2.5}, CALLS
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("as it is", "as it is"),
        ("{{item.answer}}", "4"),
        ("{{ item.answer }}!", "4!"),
        ("{{item.n}} and {{item.deep.er[0]}}", "2.5 and 1"),
        ("{{item.deep.er[1].x}}", "null"),
        ("{{item.deep}}", '{"er":[1,{"x":null}]}'),
        ("{{sample.output_text}}", '{"answer": 4, "steps": ["a", "b"]}'),
        ("{{sample.output_json.answer}}", "4"),
        ("{{sample.output_json.steps[1]}}", "b"),
        ("{{sample.output_tools[0].function.name}}", "add"),
        ("{{sample.choices[0].message.role}}", "assistant"),
        ('{"a": {"b": {{item.answer}}}}', '{"a": {"b": 4}}'),
        ("\\boxed{{{item.answer}}}", "\\boxed{4}"),
        ('{"a": {"b": {}}} item', '{"a": {"b": {}}} item'),
        (":-} item", ":-} item"),
        ("{x} items.", "{x} items."),
        ("a }} b", "a }} b"),
        ("Braces: {{ ", "Braces: {{ "),
        ('{"a": {"b": 1}}} is not JSON', '{"a": {"b": 1}}} is not JSON'),
        ("\\frac{sample mean}{\\sqrt{n}}} for {{item.answer}}", "\\frac{sample mean}{\\sqrt{n}}} for 4"),
        ("{{n}\\choose{k}} is {{item.answer}}", "{{n}\\choose{k}} is 4"),
        ("x^{2^{n}} and {item, other}", "x^{2^{n}} and {item, other}"),
        ("function f() { item.x = 1 }", "function f() { item.x = 1 }"),
        ('{"item": {"sample": {{item.n}}}}', '{"item": {"sample": 2.5}}'),
        ('{"a": {{item.n}}}} is not JSON', '{"a": 2.5}} is not JSON'),
    ],
)
def test_each_hole_is_filled(template: str, text: str) -> None:
    assert fill(check(template), SAMPLE) == text


@pytest.mark.parametrize("template", ["{{x}}", "{{}}", "{{item.a + 1}}", "{{sample}}", "{{sample.text}}"])
def test_what_no_sample_can_fill_is_refused(template: str) -> None:
    with pytest.raises(BadTemplate, match="is not a variable"):
        check(template)


@pytest.mark.parametrize(
    "template",
    [
        *("{{item.x", "{{item.x}", "{{item.x}}}}", "{item.x}}", "item.x}}", "{item.x}", "{ {item.answer} }"),
        *(
            "{{ sample.output_text",
            "{{sample.output_text }",
            "{{item.a}} and {{item.b}",
            "{{item.x}}}",
            "{{answer",
            '{"a": {{item.x}',
            "{{item}",
            "{{{{item.x}}",
            "{{item",
        ),
        *("{{item.x[0]}", "item.x[0]}}", "Is {sample.output_text} right?"),
    ],
)
def test_a_hole_with_too_few_braces_or_too_many_is_refused(template: str) -> None:
    with pytest.raises(BadTemplate, match="braces that are not closed or not opened"):
        check(template)


@pytest.mark.parametrize(
    ("template", "item", "completion", "flag"),
    [
        ("{{item.b}}", {"a": 1}, "", "invalid_variable_error"),
        ("{{item.a.b}}", {"a": 1}, "", "invalid_variable_error"),
        ("{{item.a[3]}}", {"a": [1]}, "", "invalid_variable_error"),
        ("{{item.a.__class__}}", {"a": "x"}, "", "invalid_variable_error"),
        ("{{sample.output_json}}", {}, "not json", "sample_parse_error"),
        ("{{sample.output_json.a}}", {}, "not json", "sample_parse_error"),
        ("{{sample.output_json.a}}", {}, "{}", "invalid_variable_error"),
    ],
)
def test_what_this_sample_lacks_has_openais_flag(template: str, item: Any, completion: str, flag: str) -> None:
    with pytest.raises(Unfilled) as caught:
        fill(template, Sample("", completion, item))
    assert caught.value.flag == flag


def test_a_template_that_repeats_a_long_text_ends_before_the_memory_does() -> None:
    with pytest.raises(Unfilled, match="more than 4,000,000 characters") as caught:
        fill("{{sample.output_text}}" * 100, Sample("", "x" * 50_000))
    assert caught.value.flag == "other_error"


@pytest.mark.parametrize(
    "part", ["{", "}", "{{", "item.", "{ ", "{{item.x} ", "{{item.x}}", "item.x ", "item[0]item[0]"]
)
def test_the_time_to_check_a_template_grows_with_its_length_only(part: str) -> None:
    began = time.process_time()
    with suppress(BadTemplate):
        check(part * (100_000 // len(part)))
    assert time.process_time() - began < 2

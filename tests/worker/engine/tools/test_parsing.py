"""Each family's calls, in one piece and letter by letter."""

from typing import Any

import pytest

from fettle.registry.tool_formats import HERMES, LLAMA3, MISTRAL, MISTRAL_ARGS, ToolFormat
from worker.engine.tools.parsing import CallParser, message

Found = tuple[str | None, list[tuple[str, str]]]
F, G = '{"name": "f", "arguments": {"a": "}<tool_call>"}}', '{"name": "g", "arguments": {}}'

CASES: dict[str, tuple[ToolFormat, str, Found]] = {
    "hermes, two after text": (
        HERMES,
        f"Wait.\n<tool_call>\n{F}\n</tool_call>\n<tool_call>\n{G}\n</tool_call>",
        ("Wait.", [("f", '{"a": "}<tool_call>"}'), ("g", "{}")]),
    ),
    "hermes, arguments first": (
        HERMES,
        '<tool_call>{"arguments": {"x": 1}, "name": "f"}</tool_call>',
        (None, [("f", '{"x":1}')]),
    ),
    "hermes, cut short": (HERMES, '<tool_call>\n{"name": "f", "arguments": {"a": 1', (None, [("f", '{"a": 1')])),
    "hermes, text after a call": (HERMES, f"<tool_call>{G}</tool_call>\nDone.", ("Done.", [("g", "{}")])),
    "mistral": (
        MISTRAL,
        '[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]',
        (None, [("f", '{"a": 1}'), ("g", "{}")]),
    ),
    "mistral, newer": (
        MISTRAL_ARGS,
        '[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g{}',
        (None, [("f", '{"a": 1}'), ("g", "{}")]),
    ),
    "llama": (LLAMA3, '{"name": "f", "parameters": {"a": [1]}}', (None, [("f", '{"a": [1]}')])),
    "llama, two": (
        LLAMA3,
        '<|python_tag|>{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}',
        (None, [("f", "{}"), ("g", "{}")]),
    ),
    "llama, another JSON answer": (LLAMA3, '{"answer": 5}', ('{"answer": 5}', [])),
    "a function that is not there": (
        HERMES,
        '<tool_call>\n{"name": "h", "arguments": {}}\n</tool_call>',
        ('<tool_call>\n{"name": "h", "arguments": {}}\n</tool_call>', []),
    ),
    "a mark as text": (HERMES, "<tool_call> is a tag, a < b", ("<tool_call> is a tag, a < b", [])),
    "text alone": (HERMES, "a  b \n", ("a  b \n", [])),
    "nothing": (HERMES, "", ("", [])),
}  # fmt: skip


def found(answer: dict[str, Any]) -> Found:
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in answer.get("tool_calls", [])]
    return answer["content"], calls


@pytest.mark.parametrize("case", CASES)
def test_calls_are_found_in_one_piece_and_letter_by_letter(case: str) -> None:
    form, text, expected = CASES[case]
    whole = CallParser(form, ("f", "g")).push(text, last=True)
    assert found(message(whole)) == expected
    parser = CallParser(form, ("f", "g"))
    deltas = [delta for letter in text for delta in parser.push(letter)]
    assert found(message(deltas + parser.push("", last=True))) == expected


def test_without_parallel_calls_there_is_one() -> None:
    deltas = CallParser(MISTRAL, ("f", "g"), parallel=False).push(CASES["mistral"][1], last=True)
    assert found(message(deltas)) == (None, [("f", '{"a": 1}')])


def test_a_named_function_has_arguments_alone() -> None:
    assert found(message(CallParser(HERMES, ("f",), named="f").push(' {"a": 1}', last=True))) == (
        None,
        [("f", '{"a": 1}')],
    )


def test_each_call_has_an_id_that_its_family_takes() -> None:
    ids = [call["id"] for call in message(CallParser(MISTRAL, ("f", "g")).push(CASES["mistral"][1]))["tool_calls"]]
    assert len(set(ids)) == 2
    assert all(len(each) == 9 and each.isalnum() for each in ids)

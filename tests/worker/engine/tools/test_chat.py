"""Tools over HTTP, with the `openai` SDK: the starter was never taught them, so what is forced shows the grammar."""

import copy
import json
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.worker.engine.conftest import KEY, QUESTION, Engine, user

pytestmark = pytest.mark.slow  # loads transformers

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}, "unit": {"$ref": "#/$defs/unit"}},
    "required": ["city", "unit"],
    "additionalProperties": False,
    "$defs": {"unit": {"enum": ["c", "f"]}},
}
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TIME: Any = {"type": "function", "function": {"name": "get_time"}}
FORCED: Any = {"type": "function", "function": {"name": "get_weather"}}
NAMED_BADLY: Any = {"type": "function", "function": {"name": "a b"}}
NOT_JSON: Any = {"id": "1", "type": "function", "function": {"name": "a", "arguments": "{"}}
CALLED: Any = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}],
}
ANSWERED: Any = {"role": "tool", "tool_call_id": "call_1", "content": "noon", "name": "get_time"}


@pytest.fixture
def client(engine: Engine) -> OpenAI:
    return OpenAI(base_url=f"{engine.url}/v1", api_key=KEY, max_retries=0)


def ask(client: OpenAI, **fields: Any) -> Any:
    body: dict[str, Any] = {"messages": user(QUESTION), "tools": [WEATHER, TIME], "temperature": 0, "max_tokens": 80}
    return client.chat.completions.create(model="starter", **body | fields)


def test_a_named_function_is_called_with_arguments_that_its_schema_allows(client: OpenAI) -> None:
    choice = ask(client, tool_choice=FORCED).choices[0]
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content, call.type) == ("stop", None, "function")
    given = json.loads(call.function.arguments)
    assert call.function.name == "get_weather"
    assert given.keys() == {"city", "unit"} and given["unit"] in ("c", "f") and len(given["city"]) <= 8


@pytest.mark.parametrize("parallel", [True, False])
def test_required_calls_at_least_one(client: OpenAI, parallel: bool) -> None:
    choice = ask(client, tools=[TIME], tool_choice="required", parallel_tool_calls=parallel, max_tokens=100).choices[0]
    assert choice.message.tool_calls[0].function.name == "get_time"
    if not parallel:
        assert len(choice.message.tool_calls) == 1
        assert choice.finish_reason == "tool_calls"


def test_a_stream_adds_up_to_the_whole_answer(client: OpenAI) -> None:
    whole = ask(client, tool_choice=FORCED).choices[0].message.tool_calls[0].function
    chunks = [chunk.choices[0] for chunk in ask(client, tool_choice=FORCED, stream=True)]
    pieces = [piece for chunk in chunks for piece in chunk.delta.tool_calls or []]
    assert (pieces[0].index, pieces[0].function.name, pieces[0].type) == (0, "get_weather", "function")
    assert all(piece.id is None and piece.function.name is None for piece in pieces[1:])
    assert len(pieces) > 3
    assert "".join(piece.function.arguments for piece in pieces) == whole.arguments
    assert chunks[-1].finish_reason == "stop"


def test_a_returned_message_goes_back_as_it_came(client: OpenAI) -> None:
    message = ask(client, tool_choice=FORCED).choices[0].message
    answer = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "21 degrees"}
    before = ask(client, tools=[TIME]).usage.prompt_tokens
    for returned in (message, message.model_dump(), message.model_dump(exclude_none=True)):
        later = ask(client, messages=[*user(QUESTION), returned, answer], tools=[TIME])
        assert later.usage.prompt_tokens > before + 20


def test_tools_are_shown_to_the_model_unless_none_may_be_called(client: OpenAI) -> None:
    plain = client.chat.completions.create(model="starter", messages=user(QUESTION), max_tokens=1).usage
    assert ask(client, tool_choice="none").usage.prompt_tokens == plain.prompt_tokens
    assert ask(client).usage.prompt_tokens > plain.prompt_tokens + 100


def test_text_stays_text_where_the_model_may_choose(client: OpenAI) -> None:
    choice = ask(client, tool_choice="auto").choices[0]
    assert choice.message.content and not choice.message.tool_calls and choice.finish_reason != "tool_calls"


def test_functions_are_answered_in_their_own_form(client: OpenAI) -> None:
    function = {"name": "get_weather", "parameters": PARAMETERS}
    old: dict[str, Any] = {"tools": None, "functions": [function], "function_call": {"name": "get_weather"}}
    message = ask(client, extra_body=old, tools=None).choices[0].message
    assert message.tool_calls is None
    assert json.loads(message.function_call.arguments)["unit"] in ("c", "f")
    messages = [*user(QUESTION), message.model_dump(), {"role": "function", "name": "get_weather", "content": "21"}]
    assert ask(client, messages=messages, tools=None, extra_body={"functions": [function]}).choices[0].message.content


def test_a_schema_that_cannot_be_held_binds_only_if_it_is_strict(client: OpenAI) -> None:
    tool = copy.deepcopy(WEATHER)
    tool["function"]["parameters"] = {"type": "object", "unevaluatedProperties": {"if": {}}, "not": {"required": ["a"]}}
    assert ask(client, tools=[tool]).choices[0].message.content
    tool["function"]["strict"] = True
    with pytest.raises(BadRequestError) as refusal:
        ask(client, tools=[tool])
    assert refusal.value.code == "invalid_json_schema"


REFUSED: dict[str, tuple[dict[str, Any], str | None, str]] = {
    "no tools": ({"tools": []}, "tools", "at least 1"),
    "another kind": ({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, "tools[0].type", "function"),
    "a name with a blank": ({"tools": [NAMED_BADLY]}, "tools[0].function.name", "letters"),
    "one name twice": ({"tools": [TIME, TIME]}, "tools[1].function.name", "get_time"),
    "a choice without tools": ({"tools": None, "tool_choice": "auto"}, "tool_choice", "requires"),
    "a choice that is not there": ({"tools": [TIME], "tool_choice": FORCED}, "tool_choice", "get_weather"),
    "both forms": ({"extra_body": {"functions": [{"name": "a"}]}}, "functions", "old names"),
    "a call without an answer": ({"messages": [*user("a"), CALLED, *user("b")]}, "messages[2]", "call_1"),
    "an answer without a call": ({"messages": [*user("a"), ANSWERED]}, "messages[1].tool_call_id", "call_1"),
    "an answer twice": ({"messages": [CALLED, ANSWERED, ANSWERED]}, "messages[2].tool_call_id", "already"),
    "a call of a user": ({"messages": [{**CALLED, "role": "user"}]}, "messages[0]", "user"),
    "arguments that are not JSON": (
        {"messages": [{**CALLED, "tool_calls": [NOT_JSON]}, {**ANSWERED, "tool_call_id": "1"}]},
        "messages[0].tool_calls[0].function.arguments",
        "JSON object",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_name(client: OpenAI, case: str) -> None:
    fields, param, words = REFUSED[case]
    with pytest.raises(BadRequestError) as refusal:
        ask(client, **fields)
    assert refusal.value.param == param
    assert words in refusal.value.message

"""Function calling in POST /v1/responses: what the engine is asked, and what its calls become."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
from fastapi.responses import JSONResponse, StreamingResponse
from openai.types.responses import Response
from openai.types.responses.response_stream_event import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.api.served import served
from tests.api.stub_engine import USAGE, StubEngine, chunk, pieces
from tests.api.tenants import Tenant, refusal, running, settings_in
from tests.conftest import Api

TOOL: dict[str, Any] = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
ITEM: dict[str, Any] = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT: dict[str, Any] = {"type": "function_call_output", "call_id": "call_1", "output": "21"}
CALL: dict[str, Any] = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@pytest.fixture(scope="module")
def engine() -> Iterator[StubEngine]:
    stub = StubEngine()
    with served(stub.app) as url:
        stub.url = url  # type: ignore[attr-defined]
        yield stub


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, engine: StubEngine) -> AsyncIterator[Api]:
    settings = settings_in(tmp_path_factory.mktemp("tools"), engine_url=engine.url)  # type: ignore[attr-defined]
    async with running(settings) as application:
        yield application


async def ask(tenant: Tenant, **body: Any) -> Any:
    return await tenant.http.post(
        "/v1/responses", json={"model": "starter", "input": "2 + 2 =", "tools": [TOOL], **body}
    )


def called(text: str | None) -> JSONResponse:
    message = {"role": "assistant", "content": text, "tool_calls": [CALL]}
    return JSONResponse({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": USAGE})


async def test_the_engine_is_asked_in_its_own_words(tenant: Tenant, engine: StubEngine) -> None:
    engine.answer = None
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Wait."}, ITEM, OUTPUT]
    choice = {"type": "function", "name": "f"}
    await ask(tenant, input=messages, tool_choice=choice, parallel_tool_calls=False)
    asked = engine.seen[-1][1]
    assert asked["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
    ]
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert asked["parallel_tool_calls"] is False
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert asked["messages"][1:] == [
        {"role": "assistant", "content": "Wait.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "21"},
    ]


@pytest.mark.parametrize(("text", "kinds"), [(None, ["function_call"]), ("Wait.", ["message", "function_call"])])
async def test_calls_are_items_that_go_back_as_they_came(
    tenant: Tenant, engine: StubEngine, text: str | None, kinds: list[str]
) -> None:
    engine.answer = called(text)
    body = (await ask(tenant)).json()
    answer = Response.model_validate(body, strict=True)
    assert [item.type for item in answer.output] == kinds
    item = body["output"][-1]
    assert (item["name"], item["arguments"], item["call_id"]) == ("f", '{"a":1}', "call_1")
    assert (body["tools"][0]["name"], body["tool_choice"], body["parallel_tool_calls"]) == ("f", "auto", True)
    engine.answer = None
    assert (await ask(tenant, input=[{"role": "user", "content": "hi"}, *body["output"], OUTPUT])).status_code == 200
    assert engine.seen[-1][1]["messages"][-2]["tool_calls"] == [CALL]


async def test_a_stream_says_of_a_call_when_it_begins_grows_and_ends(tenant: Tenant, engine: StubEngine) -> None:
    start = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    grown = [{"index": 0, "function": {"arguments": part}} for part in ('{"a"', ":1}")]
    deltas: list[dict[str, Any]] = [{"content": "Wait."}, *({"tool_calls": [each]} for each in (start, *grown))]
    chunks = [chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    last = [chunk([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]), b"data: [DONE]\n\n"]
    engine.answer = StreamingResponse(pieces([*chunks, *last]), media_type="text/event-stream")
    answer = await ask(tenant, stream=True)
    events = [orjson.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line[:5] == "data:"]
    for event in events:
        EVENT.validate_python(event)
    about = [event for event in events if "function_call" in event["type"] or event.get("item", {}).get("call_id")]
    assert [event["type"].removeprefix("response.") for event in about] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert {event["output_index"] for event in about} == {1}
    assert about[0]["item"]["arguments"] == ""
    assert about[3]["arguments"] == about[4]["item"]["arguments"] == '{"a":1}'
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["message", "function_call"]


async def test_built_in_tools_are_refused(tenant: Tenant) -> None:
    assert refusal(await ask(tenant, tools=[{"type": "web_search"}])) == (400, "invalid_value", "tools[0].type")

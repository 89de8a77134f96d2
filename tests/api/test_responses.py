"""POST /v1/responses: what the engine is asked, and what its answer becomes."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
from fastapi.responses import JSONResponse, StreamingResponse
from openai.types.responses import Response
from openai.types.responses.response_stream_event import ResponseStreamEvent
from pydantic import TypeAdapter

from fettle.inference import stored_responses
from models import StoredResponse
from tests.api.served import served
from tests.api.stub_engine import USAGE, StubEngine, chunk
from tests.api.tenants import Tenant, refusal, running, settings_in
from tests.conftest import Api

RESPONSES = "/v1/responses"
SCHEMA = {"name": "n", "schema": {"type": "object"}, "strict": True}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@pytest.fixture(scope="module")
def running_engine() -> Iterator[tuple[StubEngine, str]]:
    engine = StubEngine()
    with served(engine.app) as url:
        yield engine, url


@pytest.fixture
def engine(running_engine: tuple[StubEngine, str]) -> StubEngine:
    stub = running_engine[0]
    stub.seen.clear()
    stub.answer = None
    return stub


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, running_engine: tuple[StubEngine, str]) -> AsyncIterator[Api]:
    async with running(settings_in(tmp_path_factory.mktemp("responses"), engine_url=running_engine[1])) as application:
        yield application


async def ask(tenant: Tenant, **body: Any) -> Any:
    answer = await tenant.http.post(RESPONSES, json={"model": "starter", "input": "2 + 2 =", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def events(tenant: Tenant, **body: Any) -> list[Any]:
    asked = {"model": "starter", "input": "2 + 2 =", "stream": True, **body}
    answer = await tenant.http.post(RESPONSES, json=asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [orjson.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line[:5] == "data:"]


def completion(finish_reason: str) -> JSONResponse:
    choice = {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": finish_reason}
    return JSONResponse({"choices": [choice], "usage": USAGE})


class TestAsked:
    @pytest.mark.parametrize(
        ("body", "sent"),
        [
            ({}, {}),
            (
                {"instructions": "Add.", "max_output_tokens": 9, "temperature": 0, "top_p": 0.5},
                {
                    "messages": [{"role": "system", "content": "Add."}, {"role": "user", "content": "2 + 2 ="}],
                    "max_completion_tokens": 9,
                    "temperature": 0,
                    "top_p": 0.5,
                },
            ),
            (
                {
                    "input": [
                        {"role": "developer", "content": "Add."},
                        {"role": "user", "content": [{"type": "input_text", "text": text} for text in "ab"]},
                        {
                            "type": "message",
                            "id": "msg_x",
                            "status": "completed",
                            "role": "assistant",
                            "content": [{"type": "output_text", "text": "c", "annotations": [], "logprobs": []}],
                        },
                    ]
                },
                {
                    "messages": [
                        {"role": "developer", "content": "Add."},
                        {"role": "user", "content": "ab"},
                        {"role": "assistant", "content": "c"},
                    ]
                },
            ),
            (
                {"user": "u", "metadata": {"a": "b"}, "store": False, "truncation": "disabled", "text": {}},
                {},
            ),
            (
                {"text": {"format": {"type": "json_schema", **SCHEMA}}},
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": SCHEMA,
                    }
                },
            ),
            ({"text": {"format": {"type": "text"}}, "instructions": None}, {}),
            ({"include": ["reasoning.encrypted_content"], "top_logprobs": 0}, {}),
            ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
            ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ],
    )  # fmt: skip
    async def test_the_engine_gets_the_chat_that_asks_the_same(
        self, tenant: Tenant, engine: StubEngine, body: dict[str, Any], sent: dict[str, Any]
    ) -> None:
        await ask(tenant, **body)
        plain = {"model": "starter", "messages": [{"role": "user", "content": "2 + 2 ="}]}
        assert [asked for _, asked in engine.seen] == [{**plain, **sent}]

    @pytest.mark.parametrize(
        ("body", "code", "param"),
        [
            ({"input": []}, "invalid_value", "input"),
            ({"input": 5}, "invalid_value", "input"),
            ({"input": [{"role": "tool", "content": "x"}]}, "invalid_value", "input[0].role"),
            ({"input": [{"type": "image_generation_call"}]}, "invalid_value", "input[0]"),
            ({"input": [{"type": "function_call_output"}]}, "missing_required_parameter", "input[0].call_id"),
            ({"temperature": "0"}, "invalid_value", "temperature"),
            ({"stream": 1}, "invalid_value", "stream"),
            ({"truncation": "auto"}, "invalid_value", "truncation"),
            ({"text": {"verbosity": "low"}}, "unknown_parameter", "text.verbosity"),
            ({"model": None}, "invalid_value", "model"),
            ({"colour": "red"}, "unknown_parameter", "colour"),
            ({"include": ["file_search_call.results"]}, "invalid_value", "include[0]"),
            ({"top_logprobs": 21}, "invalid_value", "top_logprobs"),
        ],
    )
    async def test_what_is_not_text_is_refused_by_name(
        self, tenant: Tenant, engine: StubEngine, body: dict[str, Any], code: str, param: str
    ) -> None:
        answer = await tenant.http.post(RESPONSES, json={"model": "starter", "input": "x", **body})
        assert refusal(answer) == (400, code, param)
        assert engine.seen == []


class TestAnswered:
    async def test_it_is_openais_object(self, tenant: Tenant, engine: StubEngine) -> None:
        body = await ask(tenant, instructions="Add.", metadata={"a": "b"}, max_output_tokens=9)
        response = Response.model_validate(body, strict=False)
        assert response.output_text == "4"
        assert (response.status, response.error, response.incomplete_details) == ("completed", None, None)
        assert (response.instructions, response.metadata, response.max_output_tokens) == ("Add.", {"a": "b"}, 9)
        assert response.usage and (response.usage.input_tokens, response.usage.output_tokens) == (7, 2)

    async def test_an_answer_that_ran_into_the_limit_is_incomplete(self, tenant: Tenant, engine: StubEngine) -> None:
        engine.answer = completion("length")
        body = await ask(tenant, max_output_tokens=1)
        assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert body["output"][0]["status"] == "incomplete"

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("messages", "input"),
            ("messages[0].content", "input"),
            ("max_completion_tokens", "max_output_tokens"),
            ("response_format.type", "text.format"),
            ("temperature", "temperature"),
            (None, None),
        ],
    )
    async def test_the_engines_refusal_names_what_the_client_has_said(
        self, tenant: Tenant, engine: StubEngine, theirs: str | None, ours: str | None, stream: bool
    ) -> None:
        error = {"message": "no", "type": "invalid_request_error", "param": theirs, "code": "c"}
        engine.answer = JSONResponse({"error": error}, 400)
        answer = await tenant.http.post(RESPONSES, json={"model": "starter", "input": "x", "stream": stream})
        assert refusal(answer) == (400, "c", ours)

    async def test_a_full_engine_says_when_to_come_again(self, tenant: Tenant, engine: StubEngine) -> None:
        engine.answer = JSONResponse({"error": {"message": "full"}}, 429, {"retry-after": "2"})
        answer = await tenant.http.post(RESPONSES, json={"model": "starter", "input": "x"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


class TestStreamed:
    async def test_every_event_passes_the_sdks_types_and_they_are_counted(
        self, tenant: Tenant, engine: StubEngine
    ) -> None:
        told = await events(tenant)
        for event in told:
            EVENT.validate_python(event)
        assert [event["sequence_number"] for event in told] == list(range(len(told)))
        last = told[-1]
        assert last["type"] == "response.completed"
        assert last["response"]["output"][0]["content"][0]["text"] == "4"
        assert last["response"]["usage"]["total_tokens"] == USAGE["total_tokens"]
        assert len({event["response"]["id"] for event in told if "response" in event}) == 1

    async def test_an_engine_that_breaks_off_is_a_failed_response(self, tenant: Tenant, engine: StubEngine) -> None:
        first = chunk([{"index": 0, "delta": {"content": "4"}, "finish_reason": None}])
        for rest in ([], [b'data: {"error": {"message": "no numbers"}}\n\n']):
            engine.answer = StreamingResponse(iter([first, *rest]), media_type="text/event-stream")
            last = (await events(tenant))[-1]
            EVENT.validate_python(last)
            assert last["type"] == "response.failed"
            assert last["response"]["error"]["code"] == "server_error"

    async def test_a_stream_that_ran_into_the_limit_is_incomplete(self, tenant: Tenant, engine: StubEngine) -> None:
        cut = chunk([{"index": 0, "delta": {"content": "4"}, "finish_reason": "length"}])
        halves = [cut[:20], cut[20:], b"data: [DONE]\n\n"]  # as a network may deliver it
        engine.answer = StreamingResponse(iter(halves), media_type="text/event-stream")
        assert (await events(tenant))[-1]["type"] == "response.incomplete"


class TestStored:
    async def test_a_next_request_goes_on_with_input_and_output_but_not_with_instructions(
        self, tenant: Tenant, engine: StubEngine
    ) -> None:
        first = await ask(tenant, instructions="Add.")
        second = await ask(tenant, input="And 3?", previous_response_id=first["id"])
        await ask(tenant, input="And 4?", previous_response_id=second["id"], instructions="Be short.")
        talk = ["2 + 2 =", "4", "And 3?", "4", "And 4?"]
        assert second["previous_response_id"] == first["id"]
        asked = engine.seen[-1][1]["messages"]
        assert [message["content"] for message in asked] == ["Be short.", *talk]
        assert [message["role"] for message in asked[1:]] == ["user", "assistant", "user", "assistant", "user"]

    @pytest.mark.parametrize("stream", [False, True])
    async def test_it_is_read_as_it_was_answered_until_it_is_deleted(
        self, tenant: Tenant, engine: StubEngine, stream: bool
    ) -> None:
        made = (await events(tenant))[-1]["response"] if stream else await ask(tenant)
        where = f"{RESPONSES}/{made['id']}"
        assert made["store"] is True
        assert (await tenant.http.get(where)).json() == made
        assert (await tenant.http.delete(where)).json() == {"id": made["id"], "object": "response", "deleted": True}
        assert refusal(await tenant.http.get(where)) == (404, "not_found", "response_id")
        body = {"model": "starter", "input": "x", "previous_response_id": made["id"]}
        gone = await tenant.http.post(RESPONSES, json=body)
        assert refusal(gone) == (404, "previous_response_not_found", "previous_response_id")

    async def test_a_conversation_whose_beginning_was_deleted_cannot_go_on(
        self, tenant: Tenant, engine: StubEngine
    ) -> None:
        first = await ask(tenant)
        second = await ask(tenant, previous_response_id=first["id"])
        await tenant.http.delete(f"{RESPONSES}/{first['id']}")
        body = {"model": "starter", "input": "x", "previous_response_id": second["id"]}
        answer = await tenant.http.post(RESPONSES, json=body)
        assert refusal(answer) == (404, "previous_response_not_found", "previous_response_id")
        assert first["id"] in answer.json()["error"]["message"]

    async def test_input_items_are_paged_in_both_orders(self, tenant: Tenant, engine: StubEngine) -> None:
        first = await ask(tenant)
        second = await ask(tenant, input=[{"role": "user", "content": "And 3?"}], previous_response_id=first["id"])
        where = f"{RESPONSES}/{second['id']}/input_items"

        def texts(page: Any) -> list[str]:
            return [item["content"][0]["text"] for item in page["data"]]

        assert texts((await tenant.http.get(where)).json()) == ["And 3?", "4", "2 + 2 ="]
        page = (await tenant.http.get(f"{where}?order=asc&limit=2")).json()
        assert (texts(page), page["has_more"]) == (["2 + 2 =", "4"], True)
        rest = (await tenant.http.get(f"{where}?order=asc&after={page['last_id']}")).json()
        assert (texts(rest), rest["has_more"]) == (["And 3?"], False)
        assert refusal(await tenant.http.get(f"{where}?after=msg_x"))[::2] == (400, "after")

    async def test_another_project_sees_nothing_of_it(self, tenant: Tenant, other: Tenant, engine: StubEngine) -> None:
        made = await ask(tenant)
        where = f"{RESPONSES}/{made['id']}"
        for answer in (
            await other.http.get(where),
            await other.http.delete(where),
            await other.http.get(f"{where}/input_items"),
        ):
            assert refusal(answer) == (404, "not_found", "response_id")
        body = {"model": "starter", "input": "x", "previous_response_id": made["id"]}
        assert refusal(await other.http.post(RESPONSES, json=body))[0] == 404
        assert (await tenant.http.get(where)).status_code == 200

    async def test_without_store_nothing_is_kept(self, tenant: Tenant, engine: StubEngine) -> None:
        made = await ask(tenant, store=False)
        assert made["store"] is False
        assert refusal(await tenant.http.get(f"{RESPONSES}/{made['id']}"))[0] == 404

    async def test_what_is_old_expires(self, tenant: Tenant, engine: StubEngine) -> None:
        old, new = await ask(tenant), await ask(tenant)
        async with tenant.db.transaction() as session:
            (await session.get_one(StoredResponse, old["id"])).created_at -= 31 * 24 * 3600
        async with tenant.db.transaction() as session:
            await stored_responses.sweep(session, 30)
        found = [(await tenant.http.get(f"{RESPONSES}/{each['id']}")).status_code for each in (old, new)]
        assert found == [404, 200]

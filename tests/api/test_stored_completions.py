"""Chat completions that a project keeps."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi.responses import JSONResponse, StreamingResponse
from openai.types.chat import ChatCompletion

from fettle import ids
from fettle.inference import stored_completions
from models import Project, StoredCompletion
from tests.api.served import served
from tests.api.stub_engine import USAGE, StubEngine, chunk
from tests.api.tenants import Tenant, refusal, running, settings_in
from tests.conftest import Api

CHAT = "/v1/chat/completions"
BODY = {"model": "starter", "messages": [{"role": "user", "content": "2 + 2 ="}], "store": True}


@pytest.fixture(scope="module")
def running_engine() -> Iterator[tuple[StubEngine, str]]:
    stub = StubEngine()
    with served(stub.app) as url:
        yield stub, url


@pytest.fixture
def engine(running_engine: tuple[StubEngine, str]) -> StubEngine:
    stub = running_engine[0]
    stub.answer = None
    return stub


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, running_engine: tuple[StubEngine, str]) -> AsyncIterator[Api]:
    async with running(settings_in(tmp_path_factory.mktemp("stored"), engine_url=running_engine[1])) as application:
        yield application


@pytest.fixture
async def storing(tenant: Tenant) -> Tenant:
    async with tenant.db.transaction() as session:
        (await session.get_one(Project, tenant.project.id)).stores_completions = True
    return tenant


async def ask(tenant: Tenant, engine: StubEngine, **changed: Any) -> Any:
    choice = {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
    head = {"id": ids.new("chatcmpl-"), "object": "chat.completion", "created": 1, "model": "starter"}
    engine.answer = JSONResponse({**head, "choices": [choice], "usage": USAGE})
    answer = await tenant.http.post(CHAT, json=BODY | changed)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_project_stores_nothing_until_the_operator_says_so(tenant: Tenant, engine: StubEngine) -> None:
    assert refusal(await tenant.http.post(CHAT, json=BODY)) == (400, "invalid_value", "store")
    operator = await tenant.key("admin")
    path = f"/v1/projects/{tenant.project.id}"
    assert (await operator.post(path, json={"stores_completions": True})).json()["stores_completions"] is True
    made = await ask(tenant, engine)
    assert (await tenant.http.get(f"{CHAT}/{made['id']}")).json() == {**made, "metadata": None}


class TestStored:
    async def test_it_is_found_by_metadata_changed_and_deleted(self, storing: Tenant, engine: StubEngine) -> None:
        made = await ask(storing, engine, metadata={"team": "blue"})
        ChatCompletion.model_validate(made)
        for query, count in (("metadata[team]=blue", 1), ("metadata[team]=red", 0), ("model=other", 0), ("", 1)):
            assert len((await storing.http.get(f"{CHAT}?{query}")).json()["data"]) == count
        path = f"{CHAT}/{made['id']}"
        changed = await storing.http.post(path, json={"metadata": {"team": "red"}})
        assert changed.json()["metadata"] == {"team": "red"}
        (message,) = (await storing.http.get(f"{path}/messages")).json()["data"]
        assert (message["id"], message["content"]) == (f"{made['id']}-0", "2 + 2 =")
        assert (await storing.http.delete(path)).json()["deleted"] is True
        assert refusal(await storing.http.get(path)) == (404, "not_found", "completion_id")

    async def test_it_counts_to_the_quota_of_bytes(self, storing: Tenant, engine: StubEngine) -> None:
        await ask(storing, engine)
        await storing.quota(bytes=100)
        assert refusal(await storing.http.post(CHAT, json=BODY)) == (429, "quota_exceeded", None)
        await ask(storing, engine, store=False)

    async def test_without_store_nothing_is_kept(self, storing: Tenant, engine: StubEngine) -> None:
        await ask(storing, engine, store=False)
        assert (await storing.http.get(CHAT)).json()["data"] == []

    async def test_a_stream_is_kept_whole_before_it_ends(self, storing: Tenant, engine: StubEngine) -> None:
        def piece(finish_reason: str | None = None, **delta: Any) -> bytes:
            return chunk([{"index": 0, "delta": delta, "finish_reason": finish_reason}])

        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{"}}
        more = {"index": 0, "function": {"arguments": "}"}}
        parts = [piece(content="4"), piece(content="!"), piece(tool_calls=[call]), piece(tool_calls=[more])]
        parts += [piece("tool_calls"), b"data: [DO", b"NE]\n\n"]
        engine.answer = StreamingResponse(iter(parts), media_type="text/event-stream")
        said = await storing.http.post(CHAT, json=BODY | {"stream": True})
        assert said.content == b"".join(parts)
        (stored,) = (await storing.http.get(CHAT)).json()["data"]
        (choice,) = stored["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("4!", "tool_calls")
        assert choice["message"]["tool_calls"][0]["function"] == {"name": "add", "arguments": "{}"}

    async def test_a_dataset_of_them_can_be_trained_on(self, storing: Tenant, engine: StubEngine) -> None:
        for team in ("blue", "blue", "red"):
            await ask(storing, engine, metadata={"team": team})
        lines = (await storing.http.get(f"{CHAT}/export?metadata[team]=blue")).content
        rows = [json.loads(line) for line in lines.splitlines()]
        assert [row["messages"][0]["content"] for row in rows] == ["2 + 2 ="] * 2
        assert (await storing.upload(lines, "completions.jsonl"))["status"] == "processed"

    async def test_what_is_old_expires(self, storing: Tenant, engine: StubEngine) -> None:
        old, new = await ask(storing, engine), await ask(storing, engine)
        async with storing.db.transaction() as session:
            (await session.get_one(StoredCompletion, old["id"])).created_at -= 31 * 24 * 3600
        async with storing.db.transaction() as session:
            await stored_completions.sweep(session, 30)
        assert [row["id"] for row in (await storing.http.get(CHAT)).json()["data"]] == [new["id"]]

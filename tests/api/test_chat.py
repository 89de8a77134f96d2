from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from tests.api.served import served
from tests.api.stub_engine import PIECES, StubEngine
from tests.api.tenants import Tenant, message, refusal, running, settings_in
from tests.conftest import Api

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "2 + 2 ="}]
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


@pytest.fixture(scope="module")
def running_engine() -> Iterator[tuple[StubEngine, str]]:
    engine = StubEngine()
    with served(engine.app) as url:
        yield engine, url


@pytest.fixture
def engine(running_engine: tuple[StubEngine, str]) -> StubEngine:
    """Freshly started, as far as the API can tell."""
    stub = running_engine[0]
    stub.loaded.clear()
    stub.seen.clear()
    stub.keys.clear()
    stub.answer = stub.load_answer = None
    return stub


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, running_engine: tuple[StubEngine, str]) -> AsyncIterator[Api]:
    settings = settings_in(tmp_path_factory.mktemp("chat"), engine_url=running_engine[1], engine_key="sesame")
    async with running(settings) as application:
        yield application


@pytest.fixture
async def tuned(tenant: Tenant, tmp_path: Path) -> str:
    return await tenant.publish((await tenant.job())["id"], tmp_path)


def paths(engine: StubEngine) -> list[str]:
    return [path for path, _ in engine.seen]


class TestBaseModel:
    async def test_the_request_reaches_the_engine_as_it_came(self, tenant: Tenant, engine: StubEngine) -> None:
        asked: dict[str, Any] = {
            "model": "starter",
            "messages": MESSAGES,
            "temperature": 0.1,
            "stop": ["\n"],
            "logit_bias": {"5": -100},
            "an_extension": {"nested": [1, None, True]},
            "model_config": "a name that Pydantic keeps for itself",
        }
        answer = await tenant.http.post(CHAT, json=asked)
        assert answer.status_code == 200
        assert answer.json()["asked"] == asked
        assert answer.json()["choices"][0]["message"]["content"] == "4"
        assert answer.headers["x-request-id"].startswith("req_")
        assert paths(engine) == [CHAT]

    async def test_the_engine_sees_its_own_key_and_no_clients(self, tenant: Tenant, engine: StubEngine) -> None:
        await tenant.http.post(CHAT, json={"model": "starter", "messages": MESSAGES})
        assert engine.keys == {"Bearer sesame"}

    async def test_only_requests_of_one_project_share_what_the_engine_has_read(
        self, tenant: Tenant, other: Tenant, engine: StubEngine
    ) -> None:
        engine.salts.clear()
        for asking in (tenant, tenant, other):
            await asking.http.post(CHAT, json={"model": "starter", "messages": MESSAGES})
        await tenant.http.post("/v1/completions", json={"model": "starter", "prompt": "2 + 2 ="})
        mine, again, theirs, raw = engine.salts
        assert mine == again == raw != theirs
        assert mine and theirs and tenant.project.id not in mine

    async def test_no_client_chooses_with_whom_it_shares(self, tenant: Tenant) -> None:
        answer = await tenant.http.post(CHAT, json={"model": "starter", "messages": MESSAGES, "cache_salt": "theirs"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "cache_salt")

    async def test_a_stream_passes_through_byte_for_byte(self, tenant: Tenant, engine: StubEngine) -> None:
        answer = await tenant.http.post(CHAT, json={"model": "starter", "messages": MESSAGES, "stream": True})
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.content == b"".join(PIECES)

    @pytest.mark.parametrize("status", [401, 404])
    async def test_what_is_between_engine_and_us_is_not_the_users_fault(
        self, tenant: Tenant, engine: StubEngine, status: int
    ) -> None:
        engine.answer = JSONResponse({"error": {"message": "the engine's own words"}}, status)
        answer = await tenant.http.post(CHAT, json={"model": "starter", "messages": MESSAGES})
        assert refusal(answer) == (503, "service_unavailable", None)
        assert "FETTLE_ENGINE_KEY" in message(answer)

    @pytest.mark.parametrize("status", [400, 422, 500])
    async def test_what_the_engine_refuses_is_passed_on(self, tenant: Tenant, engine: StubEngine, status: int) -> None:
        body = {"error": {"message": "no", "type": "invalid_request_error", "param": "stop", "code": "c"}}
        engine.answer = JSONResponse(body, status)
        answer = await tenant.http.post(CHAT, json={"model": "starter", "messages": MESSAGES})
        assert (answer.status_code, answer.json()) == (status, body)
        assert paths(engine) == [CHAT]

    async def test_a_full_engine_says_when_to_come_again(self, tenant: Tenant, engine: StubEngine) -> None:
        headers = {"retry-after": "2", "x-should-retry": "true", "x-secret": "of the engine"}
        engine.answer = JSONResponse({"error": {"message": "full"}}, 429, headers)
        answer = await tenant.http.post(CHAT, json={"model": "starter", "messages": MESSAGES})
        assert (answer.status_code, answer.headers["retry-after"], answer.headers["x-should-retry"]) == (
            429,
            "2",
            "true",
        )
        assert "x-secret" not in answer.headers


class TestTunedModel:
    async def test_it_is_loaded_when_the_engine_does_not_know_it(
        self, tenant: Tenant, engine: StubEngine, tuned: str
    ) -> None:
        answer = await tenant.http.post(CHAT, json={"model": tuned, "messages": MESSAGES})
        assert (answer.status_code, answer.json()["model"]) == (200, tuned)
        assert paths(engine) == [CHAT, LOAD, CHAT]
        loaded = engine.seen[1][1]
        assert (loaded["lora_name"], loaded["base_model_name"]) == (tuned, "starter")
        assert "adapter_config.json" in {key.split("/")[-1] for key in await tenant.storage.list(loaded["lora_path"])}

    async def test_once_loaded_it_answers_at_once(self, tenant: Tenant, engine: StubEngine, tuned: str) -> None:
        engine.loaded.add(tuned)
        await tenant.http.post(CHAT, json={"model": tuned, "messages": MESSAGES})
        assert paths(engine) == [CHAT]

    async def test_a_stream_of_it_passes_through_as_well(self, tenant: Tenant, engine: StubEngine, tuned: str) -> None:
        answer = await tenant.http.post(CHAT, json={"model": tuned, "messages": MESSAGES, "stream": True})
        assert answer.content == b"".join(PIECES)

    async def test_a_checkpoint_answers_too(self, tenant: Tenant, engine: StubEngine) -> None:
        name = await tenant.checkpoint((await tenant.job())["id"], 8)
        answer = await tenant.http.post(CHAT, json={"model": name, "messages": MESSAGES})
        assert (answer.status_code, answer.json()["model"]) == (200, name)
        assert engine.seen[1][1]["lora_path"].endswith("/checkpoints/step-8")

    @pytest.mark.parametrize(
        ("refused", "words", "retry"),
        [
            (JSONResponse({"error": {"message": "no such base model"}}, 404), "no such base model", "false"),
            (PlainTextResponse("proxy says no", 502), "status 502", "true"),
            (JSONResponse({"detail": "odd"}, 500), "status 500", "true"),
            (JSONResponse({"error": {"message": "busy"}}, 429), "busy", "true"),
        ],
    )
    async def test_an_adapter_that_cannot_be_loaded_is_503_with_the_engines_reason(
        self, tenant: Tenant, engine: StubEngine, tuned: str, refused: Response, words: str, retry: str
    ) -> None:
        engine.load_answer = refused
        answer = await tenant.http.post(CHAT, json={"model": tuned, "messages": MESSAGES})
        assert refusal(answer) == (503, "service_unavailable", None)
        assert answer.headers["x-should-retry"] == retry
        assert words in message(answer)

    async def test_an_adapter_that_the_engine_rejects_is_refused_for_good(
        self, tenant: Tenant, engine: StubEngine, tuned: str
    ) -> None:
        engine.load_answer = JSONResponse({"error": {"message": "rank 999 is too high"}}, 400)
        answer = await tenant.http.post(CHAT, json={"model": tuned, "messages": MESSAGES})
        assert refusal(answer) == (400, "adapter_rejected", "model")
        assert "rank 999 is too high" in message(answer)

    async def test_deleting_it_unloads_it(self, tenant: Tenant, engine: StubEngine, tuned: str) -> None:
        engine.loaded.add(tuned)
        await tenant.http.delete(f"/v1/models/{tuned}")
        assert engine.seen == [(UNLOAD, {"lora_name": tuned})]
        assert tuned not in engine.loaded


class TestRefused:
    @pytest.mark.parametrize("name", ["gpt-4o", "ft:starter:x::none", ""])
    async def test_an_unknown_model_is_never_answered_by_another(
        self, tenant: Tenant, engine: StubEngine, name: str
    ) -> None:
        answer = await tenant.http.post(CHAT, json={"model": name, "messages": MESSAGES})
        assert refusal(answer) == (404, "model_not_found", "model")
        assert repr(name) in message(answer)
        assert engine.seen == []

    async def test_a_request_without_a_model_is_refused(self, tenant: Tenant) -> None:
        answer = await tenant.http.post(CHAT, json={"messages": MESSAGES})
        assert refusal(answer) == (400, "missing_required_parameter", "model")


class TestEngineAway:
    async def test_it_is_503_and_worth_a_retry(self, tmp_path: Path) -> None:
        async with running(settings_in(tmp_path)) as api, await api.client() as http:
            answer = await http.post(CHAT, json={"model": "starter", "messages": MESSAGES})
        assert refusal(answer) == (503, "service_unavailable", None)
        assert answer.json()["error"]["type"] == "server_error"
        assert answer.headers["x-should-retry"] == "true"
        assert "FETTLE_ENGINE_URL" in message(answer)

import asyncio
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from fettle.inference.client import Engine, Servable
from fettle.observability.logs import configure
from fettle.settings import Settings
from fettle.storage import LocalStorage, artifacts
from tests.api.served import served
from tests.worker.vllm import contract
from tests.worker.vllm.conftest import KEY, VLLM_KEY, RecordedVllm, store
from worker.engine import serve
from worker.vllm import __main__, adapters
from worker.vllm.app import create_app

NAME = "ft:starter:default::abc"


def load_body(prefix: str, name: str = NAME, base: str = "starter") -> dict[str, str]:
    return {"lora_name": name, "lora_path": prefix, "base_model_name": base}


def chat_body(model: str = NAME, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "2 + 2?"}], **more}


async def test_a_score_is_refused_with_the_way_out_and_no_adapter_is_loaded_for_it(
    agent: httpx.AsyncClient, vllm: RecordedVllm
) -> None:
    answer = await agent.post("/pooling", json={"model": NAME, "conversations": [[]]})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "reward_models_not_served")
    assert "Fettle's own engine" in error["message"]
    assert vllm.loaded == {}


class TestLoad:
    async def test_vllm_gets_a_folder_with_the_checked_files(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm, stored: str, agent_settings: Settings
    ) -> None:
        answer = await agent.post("/v1/load_lora_adapter", json=load_body(stored))
        assert answer.status_code == 200, answer.text
        folder = Path(vllm.loaded[NAME])
        assert folder.parent == agent_settings.data.absolute() / "vllm-adapters"
        stored_files = await artifacts.manifest(LocalStorage(agent_settings.storage), stored)
        found = {path.name: artifacts.digest(path) for path in folder.iterdir()}
        assert found == {name: entry.sha256 for name, entry in stored_files.files.items()}

    async def test_loading_what_is_loaded_does_nothing(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm, stored: str
    ) -> None:
        for _ in range(2):
            assert (await agent.post("/v1/load_lora_adapter", json=load_body(stored))).status_code == 200
        assert list(vllm.loaded) == [NAME]

    async def test_ten_at_once_fetch_it_once(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm, stored: str, agent_settings: Settings
    ) -> None:
        answers = await asyncio.gather(
            *(agent.post("/v1/load_lora_adapter", json=load_body(stored)) for _ in range(10))
        )
        assert {answer.status_code for answer in answers} == {200}
        assert len(list((agent_settings.data / "vllm-adapters").iterdir())) == 1

    async def test_a_vllm_that_was_restarted_gets_it_again(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm, stored: str
    ) -> None:
        await agent.post("/v1/load_lora_adapter", json=load_body(stored))
        vllm.loaded.clear()
        assert (await agent.post("/v1/load_lora_adapter", json=load_body(stored))).status_code == 200
        assert NAME in vllm.loaded

    async def test_what_vllm_has_against_it_is_told_and_nothing_stays(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm, stored: str, agent_settings: Settings
    ) -> None:
        vllm.refusal = contract.error("rank_too_high", rank=32)
        answer = await agent.post("/v1/load_lora_adapter", json=load_body(stored))
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "adapter_rejected"
        assert answer.json()["error"]["message"] == (
            "vLLM could not load the adapter: LoRA rank 32 is greater than max_lora_rank 16."
        )
        assert list((agent_settings.data / "vllm-adapters").iterdir()) == []
        vllm.refusal = None
        assert (await agent.post("/v1/load_lora_adapter", json=load_body(stored))).status_code == 200

    async def test_a_name_that_vllm_has_from_another_folder_is_replaced(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm, stored: str, tmp_path: Path
    ) -> None:
        vllm.loaded[NAME] = str(tmp_path / "older")  # an agent that started before vLLM answered knows nothing of it
        assert (await agent.post("/v1/load_lora_adapter", json=load_body(stored))).status_code == 200
        assert Path(vllm.loaded[NAME]).parent.name == "vllm-adapters"

    async def test_a_folder_that_vllm_cannot_see_is_the_operators_to_mend(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm, stored: str
    ) -> None:
        vllm.refusal = contract.error("no_folder", name=NAME)
        answer = await agent.post("/v1/load_lora_adapter", json=load_body(stored))
        assert answer.status_code == 503
        assert "under the same path" in answer.json()["error"]["message"]

    async def test_a_damaged_adapter_never_reaches_vllm(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm, stored: str, agent_settings: Settings
    ) -> None:
        await artifacts.put_bytes(
            LocalStorage(agent_settings.storage), f"{stored}/adapter_model.safetensors", b"something else"
        )
        answer = await agent.post("/v1/load_lora_adapter", json=load_body(stored))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "adapter_corrupt")
        assert vllm.seen == []

    @pytest.mark.parametrize("prefix", ["jobs/none/1/adapter", "../../etc", "/etc"])
    async def test_a_prefix_with_nothing_behind_it_is_not_found(self, agent: httpx.AsyncClient, prefix: str) -> None:
        answer = await agent.post("/v1/load_lora_adapter", json=load_body(prefix))
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "lora_path")

    async def test_another_base_than_vllm_serves_is_named(self, agent: httpx.AsyncClient, stored: str) -> None:
        answer = await agent.post("/v1/load_lora_adapter", json=load_body(stored, base="qwen"))
        assert answer.status_code == 404
        assert "'starter', not 'qwen'" in answer.json()["error"]["message"]

    async def test_a_name_stands_for_one_adapter(
        self, agent: httpx.AsyncClient, stored: str, agent_settings: Settings, tmp_path: Path
    ) -> None:
        other = await store(agent_settings, tmp_path / "other", "jobs/ftjob-2/1/adapter")
        await agent.post("/v1/load_lora_adapter", json=load_body(stored))
        assert (await agent.post("/v1/load_lora_adapter", json=load_body(other))).status_code == 409

    async def test_the_one_used_longest_ago_leaves_and_its_folder_with_it(
        self,
        agent: httpx.AsyncClient,
        vllm: RecordedVllm,
        agent_settings: Settings,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(adapters, "MAX_ADAPTERS", 2)
        for number in range(3):
            prefix = await store(agent_settings, tmp_path / str(number), f"jobs/ftjob-{number}/1/adapter")
            assert (await agent.post("/v1/load_lora_adapter", json=load_body(prefix, f"a{number}"))).status_code == 200
            if number < 2:
                await agent.post("/v1/chat/completions", json=chat_body("a0"))
        assert sorted(vllm.loaded) == ["a0", "a2"]
        folders = {path.name for path in (agent_settings.data / "vllm-adapters").iterdir()}
        assert folders == {Path(folder).name for folder in vllm.loaded.values()}


class TestUnload:
    async def test_it_leaves_vllm_and_the_disk(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm, stored: str, agent_settings: Settings
    ) -> None:
        await agent.post("/v1/load_lora_adapter", json=load_body(stored))
        assert (await agent.post("/v1/unload_lora_adapter", json={"lora_name": NAME})).status_code == 200
        assert vllm.loaded == {}
        assert list((agent_settings.data / "vllm-adapters").iterdir()) == []

    async def test_what_is_not_loaded_is_not_found(self, agent: httpx.AsyncClient) -> None:
        assert (await agent.post("/v1/unload_lora_adapter", json={"lora_name": NAME})).status_code == 404


class TestChat:
    async def test_the_api_loads_the_adapter_and_gets_its_answer(
        self, agent_url: str, agent_settings: Settings, vllm: RecordedVllm, stored: str
    ) -> None:
        engine = Engine(Settings(_env_file=None, engine_url=agent_url, engine_key=KEY))
        answer = await engine.generate(Servable(NAME, "starter", stored), chat_body(temperature=0.5))
        body = b"".join([chunk async for chunk in answer.body])
        await engine.close()
        assert (answer.status, b'"content":"4"' in body) == (200, True)
        assert vllm.seen[-1] == ("/v1/chat/completions", chat_body(temperature=0.5))

    async def test_vllm_keeps_apart_what_may_not_be_shared(self, agent: httpx.AsyncClient, vllm: RecordedVllm) -> None:
        for salt in ("ours", "ours", None, None):
            await agent.post("/v1/chat/completions", json=chat_body("starter", cache_salt=salt))
        ours, again, *own = vllm.salts
        assert ours == again == "ours"
        assert len({*own, None}) == 3  # vLLM would let requests without one share among themselves

    async def test_vllms_refusal_comes_in_our_shape(self, agent: httpx.AsyncClient, vllm: RecordedVllm) -> None:
        long = chat_body("starter", messages=[{"role": "user", "content": "x" * 30_000}])
        answer = await agent.post("/v1/chat/completions", json=long)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", None)
        assert error["code"] == "context_length_exceeded"  # a judge asks again for fewer tokens
        assert "maximum context length is 2048" in error["message"]

    async def test_the_field_that_vllm_refuses_is_named(self, agent: httpx.AsyncClient) -> None:
        answer = await agent.post("/v1/chat/completions", json=chat_body("starter", max_tokens=5000))
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("context_length_exceeded", "max_tokens")

    async def test_a_client_that_leaves_ends_vllms_stream(self, agent: httpx.AsyncClient, vllm: RecordedVllm) -> None:
        async with agent.stream("POST", "/v1/chat/completions", json=chat_body("starter", stream=True)) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for _ in answer.aiter_raw():
                break
        assert await asyncio.to_thread(vllm.left.wait, 5)

    async def test_a_client_that_leaves_ends_vllms_work_on_a_whole_answer(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm
    ) -> None:
        vllm.slow = True
        asking = asyncio.create_task(agent.post("/v1/chat/completions", json=chat_body("starter")))
        assert await asyncio.to_thread(vllm.asked.wait, 5)
        asking.cancel()
        assert await asyncio.to_thread(vllm.left.wait, 5)

    async def test_vllm_sees_its_own_key_and_the_request_id(self, agent: httpx.AsyncClient, vllm: RecordedVllm) -> None:
        await agent.post("/v1/chat/completions", json=chat_body("starter"), headers={"x-request-id": "req_1"})
        assert vllm.headers[-1]["authorization"] == f"Bearer {VLLM_KEY}"
        assert vllm.headers[-1]["x-request-id"] == "req_1"

    async def test_a_wrong_key_for_vllm_is_the_operators_to_mend(self, agent_settings: Settings, stored: str) -> None:
        settings = agent_settings.model_copy(update={"vllm_key": SecretStr("another")})
        headers = {"Authorization": f"Bearer {KEY}"}
        with served(create_app(settings)) as url:
            async with httpx.AsyncClient(base_url=url, headers=headers) as client:
                answers = [
                    await client.post("/v1/load_lora_adapter", json=load_body(stored)),
                    await client.post("/v1/chat/completions", json=chat_body("starter")),
                ]
        for answer in answers:
            assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
            assert "FETTLE_VLLM_KEY" in answer.json()["error"]["message"]

    async def test_a_stranger_gets_nothing(self, agent_url: str, vllm: RecordedVllm) -> None:
        async with httpx.AsyncClient(base_url=agent_url) as stranger:
            assert (await stranger.post("/v1/chat/completions", json=chat_body("starter"))).status_code == 401
        assert vllm.seen == []

    @pytest.mark.parametrize("body", [b"{", b"[]", b"{}"])
    async def test_a_body_without_a_model_is_refused(self, agent: httpx.AsyncClient, body: bytes) -> None:
        answer = await agent.post("/v1/chat/completions", content=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


class TestAgent:
    async def test_without_vllm_it_says_where_it_looked(self, tmp_path: Path) -> None:
        settings = Settings(_env_file=None, data=tmp_path, vllm_url="http://127.0.0.1:9")
        with served(create_app(settings)) as url:
            async with httpx.AsyncClient(base_url=url) as client:
                assert (await client.get("/health")).status_code == 503
                answer = await client.post("/v1/chat/completions", json=chat_body("starter"))
        assert answer.status_code == 503
        assert "http://127.0.0.1:9" in answer.json()["error"]["message"]

    async def test_after_a_restart_it_keeps_what_vllm_has_and_clears_the_rest(
        self, agent: httpx.AsyncClient, vllm: RecordedVllm, stored: str, agent_settings: Settings
    ) -> None:
        await agent.post("/v1/load_lora_adapter", json=load_body(stored))
        left = agent_settings.data / "vllm-adapters" / "left-by-a-crash"
        left.mkdir()
        with served(create_app(agent_settings)) as url:
            headers = {"Authorization": f"Bearer {KEY}"}
            async with httpx.AsyncClient(base_url=url, headers=headers) as second:
                assert Path(vllm.loaded[NAME]).is_dir()
                assert not left.exists()
                assert (await second.post("/v1/unload_lora_adapter", json={"lora_name": NAME})).status_code == 200

    def test_it_is_served_where_the_settings_say(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        started: list[uvicorn.Config] = []
        monkeypatch.setattr(serve.Server, "run", lambda server: started.append(server.config))
        monkeypatch.setattr(serve.signal, "signal", lambda *_: None)
        monkeypatch.setattr(__main__, "configure", signature(configure).bind)
        monkeypatch.setenv("FETTLE_ENGINE_URL", "http://10.0.0.7:8001")
        monkeypatch.setenv("FETTLE_DATA", str(tmp_path))
        __main__.main()
        assert [(config.host, config.port) for config in started] == [("10.0.0.7", 8001)]

    def test_it_imports_no_torch(self) -> None:
        code = "import sys, worker.vllm.app; assert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)

"""A vLLM by its contract on loopback, the agent in front of it, and stored adapters."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from fettle.settings import Settings
from fettle.storage import LocalStorage, artifacts
from tests.api.served import served
from tests.worker.vllm import contract
from worker.vllm.app import create_app

KEY = "the-engine-key"
VLLM_KEY = "the-vllm-key"


class RecordedVllm:
    """Answers as the contract says; `refusal` is what it has against the next adapter."""

    def __init__(self) -> None:
        self.base = "starter"
        self.loaded: dict[str, str] = {}  # name → folder
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.refusal: str | None = None
        self.url = ""
        self.left = threading.Event()  # a client went away before it had its answer
        self.asked = threading.Event()
        self.slow = False
        self.app = FastAPI()
        self.app.get("/health")(lambda: Response())
        self.app.get("/v1/models")(self.models)
        self.app.post("/v1/load_lora_adapter")(self.load)
        self.app.post("/v1/unload_lora_adapter")(self.unload)
        self.app.post("/v1/chat/completions")(self.chat)

    async def models(self) -> dict[str, Any]:
        cards = [contract.adapter_card(name, root, self.base) for name, root in self.loaded.items()]
        return {"object": "list", "data": [contract.base_card(self.base), *cards]}

    async def note(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.seen.append((request.url.path, body))
        self.headers.append(dict(request.headers))
        return body

    async def load(self, request: Request) -> Response:
        body = await self.note(request)
        name, folder = body["lora_name"], Path(body["lora_path"])
        if self.refusal:
            return refuse(self.refusal, name)
        if name in self.loaded:
            return refuse("already_loaded", name)
        assert (folder / "adapter_model.safetensors").is_file(), "vLLM reads the folder now, and later again"
        self.loaded[name] = str(folder)
        return PlainTextResponse(contract.LOADED.format(name=name))

    async def unload(self, request: Request) -> Response:
        name = (await self.note(request))["lora_name"]
        if name not in self.loaded:
            return refuse("not_loaded", name)
        del self.loaded[name]
        return PlainTextResponse(contract.UNLOADED.format(name=name))

    async def chat(self, request: Request) -> Response:
        body = await self.note(request)
        if body["model"] != self.base and body["model"] not in self.loaded:
            return refuse("unknown_model", body["model"])
        if self.refusal:
            return refuse(self.refusal, body["model"])
        if body.get("stream"):
            return StreamingResponse(self.forever(), media_type="text/event-stream")
        self.asked.set()
        while self.slow:
            await asyncio.sleep(0.01)
            if await request.is_disconnected():
                self.left.set()
                break
        message = {"role": "assistant", "content": "4"}
        return JSONResponse({"id": "chatcmpl-1", "model": body["model"], "choices": [{"index": 0, "message": message}]})

    async def forever(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b'data: {"choices": [{"delta": {"content": "4"}}]}\n\n'
                await asyncio.sleep(0.01)
        finally:
            self.left.set()


def refuse(which: str, name: str) -> Response:
    status, body = contract.error(which, name)
    return JSONResponse(body, status)


@pytest.fixture
def vllm() -> Iterator[RecordedVllm]:
    recorded = RecordedVllm()
    with served(recorded.app) as recorded.url:
        yield recorded


@pytest.fixture
def agent_settings(vllm: RecordedVllm, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        data=tmp_path,
        vllm_url=vllm.url,
        vllm_key=VLLM_KEY,
        engine_key=KEY,
    )


@pytest.fixture
def agent_url(agent_settings: Settings) -> Iterator[str]:
    with served(create_app(agent_settings)) as url:
        yield url


@pytest.fixture
async def agent(agent_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=agent_url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


@pytest.fixture
async def stored(agent_settings: Settings, tmp_path: Path) -> str:
    """The prefix of an adapter in storage."""
    return await store(agent_settings, tmp_path / "made", "jobs/ftjob-1/1/adapter")


async def store(settings: Settings, folder: Path, prefix: str) -> str:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": 16, "lora_alpha": 32}))
    (folder / "adapter_model.safetensors").write_bytes(prefix.encode() * 100)
    await artifacts.upload(LocalStorage(settings.storage), folder, prefix)
    return prefix

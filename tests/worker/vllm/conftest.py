"""A vLLM by its contract on loopback, the agent in front of it, stored adapters, and a real vLLM if there is one."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from fettle.settings import Settings
from fettle.storage import LocalStorage, artifacts
from tests.api.served import served
from tests.worker.vllm import contract, real
from worker.vllm.app import create_app

KEY = "the-engine-key"
VLLM_KEY = "the-vllm-key"
collect_ignore = [] if real.PYTHON else ["test_real.py"]


class RecordedVllm:
    """Answers as the contract says; `refusal` is what it has against every request."""

    def __init__(self) -> None:
        self.base = "starter"
        self.loaded: dict[str, str] = {}  # name → folder
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.salts: list[str | None] = []  # of the bodies, which are noted without
        self.headers: list[dict[str, str]] = []
        self.refusal: tuple[int, dict[str, Any]] | None = None
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = dict(scope.get("headers", [])).get(b"authorization", b"").decode()
        if scope["type"] == "http" and scope["path"] != "/health" and key != f"Bearer {VLLM_KEY}":
            await answer(*contract.WRONG_KEY)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def models(self) -> dict[str, Any]:
        cards = [contract.adapter_card(name, root, self.base) for name, root in self.loaded.items()]
        return {"object": "list", "data": [contract.base_card(self.base), *cards]}

    async def note(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.salts.append(body.pop("cache_salt", None))
        self.seen.append((request.url.path, body))
        self.headers.append(dict(request.headers))
        return body

    async def load(self, request: Request) -> Response:
        body = await self.note(request)
        name, folder = body["lora_name"], Path(body["lora_path"])
        if self.refusal:
            return answer(*self.refusal)
        if name in self.loaded:
            return refuse("already_loaded", name=name)
        if not (folder / "adapter_model.safetensors").is_file():
            return refuse("no_folder", name=name)
        if (rank := json.loads((folder / "adapter_config.json").read_text())["r"]) > contract.MAX_LORA_RANK:
            return refuse("rank_too_high", rank=rank)
        self.loaded[name] = str(folder)
        return PlainTextResponse(contract.LOADED.format(name=name))

    async def unload(self, request: Request) -> Response:
        name = (await self.note(request))["lora_name"]
        if name not in self.loaded:
            return refuse("not_loaded", name=name)
        del self.loaded[name]
        return PlainTextResponse(contract.UNLOADED.format(name=name))

    async def chat(self, request: Request) -> Response:
        body = await self.note(request)
        if body["model"] != self.base and body["model"] not in self.loaded:
            return refuse("unknown_model", name=body["model"], aliases=self.base)
        if self.refusal:
            return answer(*self.refusal)
        characters = sum(len(message["content"]) for message in body["messages"]) + contract.TEMPLATE_CHARACTERS
        if characters > contract.MAX_CHARACTERS:
            return refuse("too_long", characters=characters)
        if (tokens := body.get("max_tokens", 1)) > contract.MAX_MODEL_LEN:
            return refuse("too_many_tokens", tokens=tokens)
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


def answer(status: int, body: dict[str, Any]) -> Response:
    return JSONResponse(body, status)


def refuse(which: str, **values: object) -> Response:
    return answer(*contract.error(which, **values))


@pytest.fixture
def vllm() -> Iterator[RecordedVllm]:
    recorded = RecordedVllm()
    with served(recorded) as recorded.url:
        yield recorded


@pytest.fixture(scope="session")
def real_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Starts the real vLLM at the first call; gives its URL."""
    urls: list[str] = []
    with ExitStack() as stack:

        def url() -> str:
            if not urls:
                urls.append(stack.enter_context(real.running(VLLM_KEY, tmp_path_factory.mktemp("vllm") / "vllm.log")))
            return urls[0]

        yield url


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

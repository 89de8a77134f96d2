"""A server that speaks as vLLM does where the engine would be, and a client of it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import SecretStr

from fettle.inference.client import Answer, Engine, Servable
from fettle.settings import Settings
from tests.api.served import served

BASE = Servable("starter", "starter")
TUNED = Servable("ft:starter:default::abc", "starter", "jobs/1/1/adapter")
BROKEN = Servable("ft:starter:default::bad", "starter", "broken")
QUESTION: dict[str, Any] = {"model": "x", "messages": [{"role": "user", "content": "2 + 2 ="}]}


class Vllm:
    """vLLM's routes: 404 for a name that is not loaded, 400 for an adapter that is loaded already."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.keys: set[str | None] = set()
        self.request_ids: list[str | None] = []
        self.healthy, self.full, self.breaks = True, False, False
        self.go_on = threading.Event()
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.chat)
        self.app.post("/v1/load_lora_adapter")(self.load)
        self.app.post("/v1/unload_lora_adapter")(self.unload)
        self.app.get("/health")(self.health)

    async def note(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.seen.append((request.url.path.removeprefix("/v1/"), body))
        self.keys.add(request.headers.get("authorization"))
        self.request_ids.append(request.headers.get("x-request-id"))
        return body

    async def chat(self, request: Request) -> Response:
        body = await self.note(request)
        if self.full:
            return JSONResponse({"error": {"message": "full"}}, 429, {"retry-after": "5"})
        if body["model"] not in {"starter", *self.loaded}:
            return refusal(404, f"The model `{body['model']}` does not exist.")
        if body.get("stream"):
            return StreamingResponse(self.pieces(), media_type="text/event-stream")
        return JSONResponse({"asked": body})

    async def pieces(self) -> AsyncIterator[bytes]:
        yield b"data: first\n\n"
        if self.breaks:
            raise ConnectionAbortedError
        await asyncio.to_thread(self.go_on.wait, 120)
        yield b"data: last\n\n"

    async def load(self, request: Request) -> Response:
        body = await self.note(request)
        name = body["lora_name"]
        await asyncio.sleep(0.02)  # weights take their time
        if body["lora_path"] == "broken":
            return refusal(400, "LoRA rank 999 is greater than max_lora_rank 64.")
        if body["lora_path"] == "proxy":
            return PlainTextResponse("Bad Gateway", 502)
        if name in self.loaded:
            return refusal(400, f"The lora adapter '{name}' has already been loaded.")
        self.loaded.add(name)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        body = await self.note(request)
        if body["lora_name"] not in self.loaded:
            return refusal(404, "The lora adapter cannot be found.")
        self.loaded.remove(body["lora_name"])
        return PlainTextResponse("Success")

    async def health(self) -> Response:
        return Response(status_code=200 if self.healthy else 503)

    def routes(self) -> list[str]:
        return [route for route, _ in self.seen]


def refusal(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "x", "param": None, "code": status}}, status)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Vllm, str]]:
    vllm = Vllm()
    with served(vllm.app) as url:
        yield vllm, url


@pytest.fixture
def vllm(server: tuple[Vllm, str]) -> Vllm:
    """As if it had just started."""
    found = server[0]
    found.loaded.clear()
    found.seen.clear()
    found.keys.clear()
    found.go_on.clear()
    found.healthy, found.full, found.breaks = True, False, False
    return found


@pytest.fixture
async def engine(server: tuple[Vllm, str], vllm: Vllm) -> AsyncIterator[Engine]:
    client = Engine(Settings(engine_url=server[1], engine_key=SecretStr("sesame")))
    yield client
    await client.close()


async def whole(answer: Answer) -> Any:
    return orjson.loads(b"".join([chunk async for chunk in answer.body]))

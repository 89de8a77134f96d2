"""A small engine that speaks the routes which the API calls: OpenAI's generating routes, vLLM's LoRA routes, health."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def text_chunk(text: str, finish_reason: str | None) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": finish_reason, "logprobs": None}
    head = {"id": "cmpl-x", "object": "text_completion", "created": 1, "model": "starter", "choices": [choice]}
    return b"data: " + orjson.dumps(head) + b"\n\n"


def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
    head = {"id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 1, "model": "starter"}
    return b"data: " + orjson.dumps({**head, "choices": choices, **more}) + b"\n\n"


PIECES = (
    chunk([{"index": 0, "delta": {"role": "assistant", "content": "4"}, "finish_reason": None}]),
    b": ping\n\n",
    chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
    b"data: [DONE]\n\n",
)


TEXT_PIECES = (text_chunk("4", None), text_chunk("", "stop"), b"data: [DONE]\n\n")


class StubEngine:
    """Answers with what it was asked; forgets adapters when told to. `answer` replaces its next chat answers."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.seen: list[tuple[str, dict[str, Any]]] = []  # path and body
        self.salts: list[str | None] = []  # of the bodies, which are noted without
        self.keys: set[str | None] = set()  # Authorization headers
        self.answer: Response | None = None
        self.load_answer: Response | None = None
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.chat)
        self.app.post("/v1/completions")(self.complete)
        self.app.post("/v1/load_lora_adapter")(self.load)
        self.app.post("/v1/unload_lora_adapter")(self.unload)
        self.app.get("/health")(health)

    async def note(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.salts.append(body.pop("cache_salt", None))
        self.seen.append((request.url.path, body))
        self.keys.add(request.headers.get("authorization"))
        return body

    def missing(self, model: str) -> Response | None:
        if model.startswith("ft:") and model not in self.loaded:
            return JSONResponse({"error": {"message": "not loaded", "code": "model_not_found"}}, 404)
        return None

    async def complete(self, request: Request) -> Response:
        body = await self.note(request)
        if instead := self.missing(body["model"]) or self.answer:
            return instead
        if body.get("stream"):
            return StreamingResponse(pieces([*TEXT_PIECES]), media_type="text/event-stream")
        choice = {"index": 0, "text": "4", "finish_reason": "stop", "logprobs": None}
        head = {"id": "cmpl-x", "object": "text_completion", "created": 1, "model": body["model"]}
        return JSONResponse({**head, "choices": [choice], "usage": USAGE, "asked": body})

    async def chat(self, request: Request) -> Response:
        body = await self.note(request)
        if instead := self.missing(body["model"]) or self.answer:
            return instead
        if body.get("stream"):
            counted = (body.get("stream_options") or {}).get("include_usage")
            last = [chunk([], usage=USAGE)] if counted else []
            return StreamingResponse(pieces([*PIECES[:-1], *last, PIECES[-1]]), media_type="text/event-stream")
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(gzip.compress(b"{}"), headers={"content-encoding": "gzip"})
        message = {"role": "assistant", "content": "4"}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return JSONResponse(
            {
                "id": "chatcmpl-x",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [choice],
                "usage": USAGE,
                "asked": body,
            }
        )

    async def load(self, request: Request) -> Response:
        body = await self.note(request)
        if self.load_answer is not None:
            return self.load_answer
        self.loaded.add(body["lora_name"])
        return Response()

    async def unload(self, request: Request) -> Response:
        body = await self.note(request)
        known = body["lora_name"] in self.loaded
        self.loaded.discard(body["lora_name"])
        return Response(status_code=200 if known else 404)


async def health() -> Response:
    return Response()


async def pieces(sent: list[bytes]) -> AsyncIterator[bytes]:
    for piece in sent:
        yield piece
        await asyncio.sleep(0.01)

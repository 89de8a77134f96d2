"""A client that leaves takes its request with it: nothing is computed for nobody."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from api.app import create_app
from tests.api.served import served
from tests.api.tenants import Tenant, running, settings_in
from tests.conftest import Api

PROMPTLY = 30  # seconds


class SlowEngine:
    """Says nothing, or one piece; notices when its client leaves."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.chat)
        self.app.post("/v1/completions")(self.chat)

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        if body.get("temperature") == 0:
            return StreamingResponse(self.one_piece(), media_type="text/event-stream")
        self.asked.set()
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.left.set()
        return Response()

    async def one_piece(self) -> AsyncIterator[bytes]:
        try:
            yield b'data: {"choices": [{"index": 0, "delta": {"content": "4"}}]}\n\n'
            self.asked.set()
            await asyncio.sleep(600)
        finally:
            self.left.set()


@pytest.fixture
def engine() -> Iterator[tuple[SlowEngine, str]]:
    slow = SlowEngine()
    with served(slow.app) as url:
        yield slow, url


@pytest.fixture
async def api(tmp_path: Path, engine: tuple[SlowEngine, str]) -> AsyncIterator[Api]:
    async with running(settings_in(tmp_path, engine_url=engine[1])) as application:
        yield application


@pytest.fixture
def url(api: Api) -> Iterator[str]:
    with served(create_app(api.app.state.settings)) as made:
        yield made


async def happened(event: asyncio.Event) -> bool:
    """In another thread's loop."""
    for _ in range(PROMPTLY * 100):
        if event.is_set():
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "2 + 2 ="}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "2 + 2 ="}], "stream": True}),
        ("/v1/completions", {"prompt": "2 + 2 ="}),
        ("/v1/responses", {"input": "2 + 2 ="}),
        ("/v1/responses", {"input": "2 + 2 =", "stream": True}),
    ],
)
async def test_a_client_that_leaves_before_the_first_byte_ends_the_engines_request(
    tenant: Tenant, engine: tuple[SlowEngine, str], url: str, path: str, question: dict[str, object]
) -> None:
    async with httpx.AsyncClient(base_url=url, headers=tenant.http.headers) as http:
        asking = asyncio.create_task(http.post(path, json={"model": "starter", **question}))
        assert await happened(engine[0].asked)
        assert not engine[0].left.is_set()
        asking.cancel()
    assert await happened(engine[0].left)


@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "2 + 2 ="}]}),
        ("/v1/responses", {"input": "2 + 2 ="}),
    ],
)
async def test_a_client_that_leaves_a_stream_ends_the_engines_request(
    tenant: Tenant, engine: tuple[SlowEngine, str], url: str, path: str, question: dict[str, object]
) -> None:
    body = {"model": "starter", "stream": True, "temperature": 0, **question}
    async with (
        httpx.AsyncClient(base_url=url, headers=tenant.http.headers) as http,
        http.stream("POST", path, json=body) as answer,
    ):
        assert answer.status_code == 200
        await anext(answer.aiter_raw())
        assert await happened(engine[0].asked)
    assert await happened(engine[0].left)

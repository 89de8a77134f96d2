"""The engine's HTTP side: OpenAI's generating routes, vLLM's LoRA routes. It imports no torch, so it is up at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import orjson
import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from fettle.errors import Unavailable
from fettle.inference.client import BACKGROUND, PRIORITY
from fettle.observability import metrics_auth
from fettle.registry import live_catalog
from fettle.settings import Settings
from fettle.storage import open_storage
from worker.engine import presence, prompts, refusals, response_bodies, scoring, scrape
from worker.engine.answer import Answer
from worker.engine.auth import KeyMiddleware
from worker.engine.clients import ReleasingResponse, unless_gone
from worker.engine.completion_schema import CompletionRequest
from worker.engine.decode_thread import DecodeThread
from worker.engine.errors import Overloaded, UnknownModel
from worker.engine.model_pool import Adapter, Pool
from worker.engine.requests import Base
from worker.engine.requests import Request as Generation
from worker.engine.schemas import (
    ChatRequest,
    Generated,
    LoadAdapter,
    PoolingRequest,
    UnloadAdapter,
)
from worker.engine.tracing import RequestId
from worker.environment import threads_per_slot

log = structlog.get_logger()

SHARERS = 2  # of the machine's cores: the engine, and a training job

router = APIRouter()


def the_pool(http: Request) -> Pool:
    pool: Pool = http.app.state.pool
    return pool


ThePool = Annotated[Pool, Depends(the_pool)]


@router.get("/health")
async def health(pool: ThePool) -> dict[str, str]:
    if not pool.thread.alive:
        raise Unavailable("The decode thread has stopped. Restart the engine; its log gives the reason.")
    return {"status": "ok"}


@router.get("/metrics")
async def prometheus(http: Request, pool: ThePool) -> Response:
    """Prometheus's text format, to whom the API would show its own."""
    settings: Settings = http.app.state.settings
    metrics_auth.check(settings.metrics_key, http.headers, http.client.host if http.client else None)
    return Response(scrape.page(pool), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/models")
async def models(http: Request, pool: ThePool) -> dict[str, Any]:
    started = http.app.state.started
    bases = [{"id": name, "object": "model", "created": started, "owned_by": "fettle"} for name in pool.models]
    adapters = [
        {
            "id": adapter.name,
            "object": "model",
            "created": adapter.created,
            "owned_by": "fettle",
            "root": adapter.path,
            "parent": adapter.base.name,
        }
        for adapter in pool.adapters.values()
    ]
    return {"object": "list", "data": bases + adapters}


@router.post("/v1/load_lora_adapter")
async def load_lora_adapter(body: LoadAdapter, pool: ThePool) -> PlainTextResponse:
    await pool.load(body.lora_name, body.lora_path, body.base_model_name)
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")


@router.post("/v1/unload_lora_adapter")
async def unload_lora_adapter(body: UnloadAdapter, pool: ThePool) -> PlainTextResponse:
    await pool.unload(body.lora_name)
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")


@router.post("/v1/chat/completions")
async def chat_completions(body: ChatRequest, http: Request, pool: ThePool) -> Response:
    shape = response_bodies.ToolChat(body) if body.callable else response_bodies.Chat()
    return await generate(body, http, pool, partial(prompts.of_chat, body=body), shape)


@router.post("/v1/completions")
async def completions(body: CompletionRequest, http: Request, pool: ThePool) -> Response:
    return await generate(body, http, pool, partial(prompts.of_texts, body=body), response_bodies.Text(body))


@router.post("/pooling")
async def pooling(body: PoolingRequest, http: Request, pool: ThePool) -> Response:
    """What a reward model says to conversations, raw; for Fettle's own services.

    vLLM serves the head of a SEQ_CLS adapter (`modules_to_save`, vllm#53555) at `/classify`, as probabilities, and raw
    at `/pooling`, from an instance that was started with `--runner pooling` and writes nothing. This is the latter,
    beside the generating routes, for many `conversations` instead of one's `messages`.
    """
    scores, tokens = await unless_gone(http, scoring.score(pool, body.model, body.conversations))
    return json_response(scoring.pooling_body(body.model, scores, tokens))


async def generate(
    body: Generated,
    http: Request,
    pool: Pool,
    prompts_for: Callable[[Base], list[list[int]]],
    shape: response_bodies.Shape,
) -> Response:
    base, adapter = await pool.find(body.model)
    scoring.refuse_text(body.model, adapter)
    background = http.headers.get(PRIORITY) == BACKGROUND
    generations = await asyncio.to_thread(prepare, base, adapter, body, prompts_for, background)
    shape.begin(base)
    await unless_gone(http, pool.network(base))
    answer = Answer(body.model, shape, generations, body.n, body.likeliest is not None)
    try:
        submit(generations, adapter, pool)
        if not body.stream:
            return json_response(await unless_gone(http, answer.whole()))
        first = await unless_gone(http, generations[0].next())
    except BaseException:  # the client's leaving too: nobody reads what it would write
        answer.cancel()
        raise
    chunks = answer.streamed(first, body.include_usage)
    headers = {"cache-control": "no-cache"}
    return ReleasingResponse(chunks, answer.cancel, media_type="text/event-stream", headers=headers)


def prepare(
    base: Base,
    adapter: Adapter | None,
    body: Generated,
    prompts_for: Callable[[Base], list[list[int]]],
    background: bool,
) -> list[Generation]:
    """One for each prompt."""
    found = prompts_for(base)
    if body.likeliest is not None:
        base.vocabulary.guide  # noqa: B018 — read here, not on the event loop
    slot = adapter.slot if adapter else None
    return [
        Generation(base, slot, prompt, prompts.sampling(body, base, len(prompt)), background, body.cache_salt)
        for prompt in found
    ]


def submit(generations: Sequence[Generation], adapter: Adapter | None, pool: Pool) -> None:
    """Checks and queues without a pause between, so that neither adapter nor base can leave in the meantime."""
    if adapter and not pool.holds(adapter):
        raise UnknownModel(adapter.name)
    base = generations[0].base
    if base.name not in pool.resident:
        raise Overloaded(f"The base model {base.name!r} was unloaded to make room. Try again in a few seconds.")
    if adapter:
        adapter.reserved_until = 0.0
    for generation in generations:
        pool.thread.submit(generation)


def json_response(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


@asynccontextmanager
async def services(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    entries = live_catalog.served(settings)
    thread = DecodeThread(threads_per_slot(settings.threads, SHARERS))
    pool = app.state.pool = Pool(
        entries,
        open_storage(settings),
        settings.data / "adapters",
        thread,
        settings.hf_token,
        cpu_bf16=settings.cpu_bf16,
    )
    warming = asyncio.create_task(warm(pool)) if entries.keys() == {"starter"} else None

    async def describe() -> dict[str, Any]:
        requests = sum(not request.over.is_set() for request in thread.live)
        return {"base_models": list(pool.models), "adapters": list(pool.adapters), "requests": requests}

    async with presence.announced(app, "fettle", describe):
        yield
    if warming:
        warming.cancel()
    await thread.stop()


async def warm(pool: Pool) -> None:
    """The starter is small and will be asked for; large bases wait until they are."""
    try:
        await pool.network(await pool.base("starter"))
    except Exception as error:  # whatever it is, the first request for it says the same
        log.warning("starter_not_preloaded", exc_info=error)


def create_app(settings: Settings) -> FastAPI:
    app = FastAPI(title="Fettle engine", lifespan=services, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.settings = settings
    app.state.started = int(time.time())
    refusals.install(app)
    if settings.engine_key:
        app.add_middleware(KeyMiddleware, key=settings.engine_key.get_secret_value())
    app.add_middleware(RequestId)
    app.include_router(router)
    return app

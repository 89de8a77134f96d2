"""The agent's HTTP side: the same routes as the embedded engine's, so that the API knows no difference."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

import orjson
import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

from fettle.errors import FettleError, InvalidRequest, Unavailable
from fettle.inference.requests.chat import SALT
from fettle.settings import Settings
from fettle.storage import open_storage
from worker.engine import presence, refusals
from worker.engine.auth import KeyMiddleware
from worker.engine.clients import ReleasingResponse, unless_gone
from worker.engine.schemas import LoadAdapter, UnloadAdapter
from worker.vllm.adapters import Adapters
from worker.vllm.upstream import PASSED_ON, Vllm, streamed

log = structlog.get_logger()
router = APIRouter()


def the_vllm(http: Request) -> Vllm:
    return cast(Vllm, http.app.state.vllm)


def the_adapters(http: Request) -> Adapters:
    return cast(Adapters, http.app.state.adapters)


TheVllm = Annotated[Vllm, Depends(the_vllm)]
TheAdapters = Annotated[Adapters, Depends(the_adapters)]


@router.get("/health")
async def health(vllm: TheVllm) -> dict[str, str]:
    if not await vllm.healthy():
        raise Unavailable(f"vLLM at {vllm.url} is not healthy.")
    return {"status": "ok"}


@router.get("/v1/models")
async def models(vllm: TheVllm) -> dict[str, Any]:
    return {"object": "list", "data": await vllm.models()}


@router.post("/v1/load_lora_adapter")
async def load_lora_adapter(body: LoadAdapter, adapters: TheAdapters) -> PlainTextResponse:
    await adapters.load(body.lora_name, body.lora_path, body.base_model_name)
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")


@router.post("/v1/unload_lora_adapter")
async def unload_lora_adapter(body: UnloadAdapter, adapters: TheAdapters) -> PlainTextResponse:
    await adapters.unload(body.lora_name)
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")


@router.post("/v1/chat/completions")
@router.post("/v1/completions")
async def complete(http: Request, vllm: TheVllm, adapters: TheAdapters) -> Response:
    """As it came, and as it comes back; whoever leaves early ends vLLM's work on it as well."""
    body = read(await http.body())
    use = contextlib.ExitStack()
    use.enter_context(adapters.in_use(str(body["model"])))
    try:
        forwarded = vllm.forward(http.url.path, unshared(body), http.headers.get("x-request-id"))
        response = await unless_gone(http, forwarded)
    except BaseException:  # the client's leaving too
        use.close()
        raise
    headers = {name: response.headers[name] for name in PASSED_ON if name in response.headers}
    return ReleasingResponse(streamed(response), use.close, response.status_code, headers)


@router.post("/pooling")
async def pooling() -> Response:
    """vLLM has this route too, but one that writes does not score: see the embedded engine's."""
    raise InvalidRequest(
        "The vLLM behind FETTLE_ENGINE_URL writes text and cannot score with reward models. Fettle's own engine "
        "(`fettle engine`) does both.",
        code="reward_models_not_served",
        param="model",
    )


def read(content: bytes) -> dict[str, Any]:
    """Raises InvalidRequest."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict) or "model" not in body:
        raise InvalidRequest("The body must be a JSON object with a 'model'.", param="model")
    return body


def unshared(body: dict[str, Any]) -> bytes:
    """For vLLM, where requests without a salt would share what it has read for any of them."""
    return orjson.dumps({**body, SALT: body.get(SALT) or secrets.token_hex(32)})


@asynccontextmanager
async def services(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    key = settings.vllm_key
    vllm = app.state.vllm = Vllm(settings.vllm_url, key.get_secret_value() if key else None)
    adapters = app.state.adapters = Adapters(vllm, open_storage(settings), settings.data / "vllm-adapters")
    try:
        await adapters.adopt()
    except FettleError as error:  # vLLM takes minutes to start, and then has nothing loaded
        log.warning("vllm_not_up_yet", reason=error.message)

    async def describe() -> dict[str, Any]:
        bases = [str(card["id"]) for card in await vllm.models() if not card.get("parent")]
        return {"base_models": bases, "adapters": list(adapters.known), "requests": adapters.answering.total()}

    async with presence.announced(app, "vllm", describe):
        yield
    await vllm.close()


def create_app(settings: Settings) -> FastAPI:
    app = FastAPI(title="Fettle's vLLM agent", lifespan=services, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.settings = settings
    refusals.install(app)
    if settings.engine_key:
        app.add_middleware(KeyMiddleware, key=settings.engine_key.get_secret_value())
    app.include_router(router)
    return app

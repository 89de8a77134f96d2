"""The road from a model's name to an engine that answers with it.

The engine speaks OpenAI's generating routes and vLLM's LoRA routes. It forgets adapters when it restarts or needs
room, and says 404; then the adapter is loaded and the request sent again. An unknown name never reaches it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import FettleError, InvalidRequest, Unavailable
from fettle.observability import logs, metrics
from fettle.registry import catalog, tuned_models
from fettle.registry.catalog import Catalog
from fettle.settings import Settings

log = structlog.get_logger()

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
POOLING = "/pooling"  # scores by a reward model
GONE = 404  # the engine's word for a name that is not loaded
OURS = (401, GONE)  # between the engine and us: the user's key and model are in order
LATER = (408, 429)  # of the refusals: those that the same request may not meet again
PRIORITY, BACKGROUND = "x-fettle-priority", "background"  # a header of ours: answers that nobody waits for at once
PASSED_ON = ("content-type", "retry-after", "x-should-retry")  # what a full engine says about trying again as well


@dataclass(frozen=True)
class Servable:
    """A base model, or an adapter on one."""

    name: str
    base_model: str
    prefix: str | None = None  # of the adapter in storage


@dataclass(frozen=True)
class Answer:
    """What the engine said; `body` streams. Whoever has it closes it: until then the engine goes on."""

    status: int
    headers: dict[str, str]
    body: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]


async def find(session: AsyncSession, project_id: str, name: str, models: Catalog) -> Servable:
    """Raises NotFound: an unknown model is never answered by another one. Raises InvalidRequest for a reward model."""
    if name in models:
        return Servable(name, name)
    tuned = await tuned_models.usable(session, project_id, name)
    if not await tuned_models.chats(session, tuned):
        raise InvalidRequest(
            f"{name!r} is a reward model, which scores responses but does not write them. Chat with a base "
            "model or a model tuned "
            "by another method.",
            code="model_not_supported",
            param="model",
        )
    return Servable(name, catalog.base_of(name), tuned.prefix)


async def find_reward_model(session: AsyncSession, project_id: str, name: str, models: Catalog) -> Servable:
    """Raises NotFound, and InvalidRequest for a model that writes."""
    tuned = None if name in models else await tuned_models.usable(session, project_id, name)
    if tuned is None or await tuned_models.chats(session, tuned):
        raise InvalidRequest(
            f"{name!r} is not a reward model. Use a model that the method "
            "'reward_model' has trained, or use this one with the reward function 'judge'.",
            code="model_not_supported",
            param="model",
        )
    return Servable(name, catalog.base_of(name), tuned.prefix)


class Engine:
    """The client of one engine."""

    def __init__(self, settings: Settings) -> None:
        key = settings.engine_key
        self.url = settings.engine_url
        self.client = httpx.AsyncClient(
            base_url=settings.engine_url,
            headers={
                "Accept-Encoding": "identity",  # the body is passed on as it comes
                **({"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}),
            },
            timeout=httpx.Timeout(600, connect=5),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    async def generate(
        self, servable: Servable, request: dict[str, Any], path: str = CHAT, *, background: bool = False
    ) -> Answer:
        """Forwards a request. background: it lets others go first.

        Raises Unavailable when the engine is away or cannot load the adapter.
        """
        response = await self._send(path, {**request, "model": servable.name}, background=background)
        if response.status_code == GONE and servable.prefix is not None:
            await response.aclose()
            refusal = await self._load(servable)  # vLLM refuses also what another request has just loaded
            response = await self._send(path, {**request, "model": servable.name}, background=background)
            if refusal is not None and response.status_code == GONE:
                await response.aclose()
                raise refusal
        if response.status_code in OURS:
            await response.aclose()
            raise misconfigured(
                f"The engine does not serve {servable.name!r} to this API (it answered {response.status_code}): "
                "FETTLE_ENGINE_KEY and FETTLE_CATALOG must be the same for both."
            )
        headers = {name: response.headers[name] for name in PASSED_ON if name in response.headers}
        return Answer(response.status_code, headers, chunks(response), response.aclose)

    async def forget(self, name: str) -> None:
        """A deleted model is no longer served, even if it is loaded; an engine that is away has nothing loaded."""
        try:
            response = await self._send("/v1/unload_lora_adapter", {"lora_name": name})
            await response.aclose()
        except Unavailable:
            return

    async def _load(self, servable: Servable) -> FettleError | None:
        """Why the engine does not load it, None when it is loaded."""
        response = await self._send(
            "/v1/load_lora_adapter",
            {"lora_name": servable.name, "lora_path": servable.prefix, "base_model_name": servable.base_model},
            stream=False,
        )
        if response.status_code == 200:
            return None
        try:
            reason = str(orjson.loads(response.content)["error"]["message"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            reason = f"status {response.status_code}"
        words = f"The engine could not load {servable.name!r}: {reason}"
        if response.is_client_error and response.status_code not in (*OURS, *LATER):
            return InvalidRequest(words, code="adapter_rejected", param="model")
        return misconfigured(words) if response.status_code in OURS else Unavailable(words)

    async def _send(
        self, path: str, body: dict[str, Any], *, stream: bool = True, background: bool = False
    ) -> httpx.Response:
        sent = logs.request_id()
        headers = {"x-request-id": sent} if sent else {}
        if background:
            headers[PRIORITY] = BACKGROUND
        request = self.client.build_request("POST", path, json=body, headers=headers)
        try:
            return await self.client.send(request, stream=stream)
        except httpx.TransportError as error:
            metrics.errors.labels("engine").inc()
            raise Unavailable(
                f"The inference engine at {self.url} is not responding ({type(error).__name__}). "
                "Check that `fettle engine` is running and that FETTLE_ENGINE_URL is its address."
            ) from error

    async def healthy(self) -> bool:
        try:
            return (await self.client.get("/health", timeout=5)).status_code == 200
        except httpx.TransportError:
            return False

    async def close(self) -> None:
        await self.client.aclose()


def misconfigured(words: str) -> Unavailable:
    """A retry does not help; the operator must act."""
    error = Unavailable(words)
    error.retry = False
    return error


async def chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """An event stream that breaks off between two events ends with one that says so; SDKs raise it as an error."""
    streams = response.headers.get("content-type", "").startswith("text/event-stream")
    between = True
    try:
        async for chunk in response.aiter_raw():
            between = chunk.endswith(b"\n\n")
            yield chunk
    except httpx.TransportError as error:
        metrics.errors.labels("engine").inc()
        log.warning("engine_broke_off", error=type(error).__name__)
        if not (streams and between):
            raise
        yield (
            b"data: "
            + orjson.dumps(
                Unavailable("The engine stopped before its answer was complete. Send the request again.").body()
            )
            + b"\n\n"
        )
    finally:
        await response.aclose()

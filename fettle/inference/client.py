"""The road from a model's name to an engine that answers with it.

The engine speaks OpenAI's generating routes and vLLM's LoRA routes. It forgets adapters when it restarts or needs
room, and says 404; then the adapter is loaded and the request sent again. An unknown name never reaches it.
"""

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import FettleError, InvalidRequest, Unavailable, no_answer
from fettle.inference import routing
from fettle.inference.answer_chunks import chunks
from fettle.inference.engines import Directory
from fettle.inference.requests.chat import SALT
from fettle.inference.routing import Route
from fettle.observability import logs, metrics
from fettle.registry import catalog, tuned_models
from fettle.registry.catalog import Catalog
from fettle.settings import Settings

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
POOLING = "/pooling"  # scores by a reward model
GONE = 404  # the engine's word for a name that is not loaded
OURS = (401, GONE)  # between the engine and us: the user's key and model are in order
LOADS = 3  # of an adapter for one request: another one may take its place before the request comes
FULL = (429, 503)  # it has no room, or is just starting
SILENT_SECONDS = 5.0  # for which an engine that does not respond is asked after all others
LATER = (408, 429)  # of the refusals: those that the same request may not meet again
PRIORITY, BACKGROUND = "x-fettle-priority", "background"  # a header of ours: answers that nobody waits for at once
PASSED_ON = ("content-type", "retry-after", "x-should-retry")  # what a full engine says about trying again as well


@dataclass(frozen=True)
class Servable:
    """A base model, or an adapter on one. project_id: whose requests, which alone share what an engine has read; None:
    they share nothing."""

    name: str
    base_model: str
    prefix: str | None = None  # of the adapter in storage
    project_id: str | None = None


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
        return Servable(name, name, project_id=project_id)
    tuned = await tuned_models.usable(session, project_id, name)
    if not await tuned_models.chats(session, tuned):
        raise InvalidRequest(
            f"{name!r} is a reward model, which scores responses but does not write them. Chat with a base "
            "model or a model tuned "
            "by another method.",
            code="model_not_supported",
            param="model",
        )
    return Servable(name, catalog.base_of(name), tuned.prefix, project_id)


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
    return Servable(name, catalog.base_of(name), tuned.prefix)  # scores are read without sharing


class Engine:
    """The client of all engines.

    directory: finds them; None where there is no database, which goes by `routes`. FETTLE_ENGINE_URL is asked where
    none that serves the base is known, and where none of them responds.
    """

    def __init__(self, settings: Settings, directory: Directory | None = None, routes: Sequence[Route] = ()) -> None:
        key = settings.engine_key
        self.salt_key = key.get_secret_value().encode() if key else b""
        self.url = settings.engine_url.rstrip("/")
        self.directory, self.routes = directory, routes
        self.mine: Counter[str] = Counter()  # requests in progress, by URL
        self.silent: dict[str, float] = {}  # URL → until when it is asked last
        self.client = httpx.AsyncClient(
            headers={
                "Accept-Encoding": "identity",  # the body is passed on as it comes
                **({"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}),
            },
            timeout=httpx.Timeout(600, connect=5),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    async def known(self) -> Sequence[Route]:
        return await self.directory.routes() if self.directory else self.routes

    async def urls(self, servable: Servable) -> list[str]:
        """Whom to ask, best first."""
        now = time.monotonic()
        self.silent = {url: until for url, until in self.silent.items() if until > now}
        adapter = None if servable.prefix is None else servable.name
        found = routing.order(
            await self.known(), servable.base_model, adapter, mine=self.mine, avoided=self.silent.keys()
        )
        return list(dict.fromkeys([*(route.url for route in found), self.url]))

    async def generate(
        self, servable: Servable, request: dict[str, Any], path: str = CHAT, *, background: bool = False
    ) -> Answer:
        """Forwards a request. background: it lets others go first. Until an engine begins to answer, another is asked
        in its place.

        Raises Unavailable when no engine answers or can load the adapter.
        """
        failure: Unavailable | None = None
        full: Answer | None = None
        for url in await self.urls(servable):
            try:
                answer = await self._ask(url, servable, request, path, background=background)
            except NoAnswer as error:
                failure = failure or error
                continue
            except BaseException:  # cancelled too: the answer that is kept has a connection
                if full is not None:
                    await full.close()
                raise
            if full is not None:
                await full.close()
            if answer.status not in FULL:
                return answer
            full = answer
        if full is not None:
            return full
        assert failure is not None  # noqa: S101 — there is always one to ask
        raise failure

    async def _ask(
        self, url: str, servable: Servable, request: dict[str, Any], path: str, *, background: bool
    ) -> Answer:
        """Raises NoAnswer where another engine may do better."""
        over = self._begin(url)
        try:
            response = await self._generate(url, servable, request, path, background=background)
        except BaseException:
            over()
            raise
        headers = {name: response.headers[name] for name in PASSED_ON if name in response.headers}

        async def close() -> None:
            over()
            await response.aclose()

        return Answer(response.status_code, headers, chunks(response, over), close)

    def _begin(self, url: str) -> Callable[[], None]:
        """Counts a request in progress. Whoever calls the result, once or more, ends it."""
        self.mine[url] += 1
        going = [url]

        def over() -> None:
            if going:
                self.mine[going.pop()] -= 1
                self.mine = +self.mine  # no zeros: addresses come and go

        return over

    async def _generate(
        self, url: str, servable: Servable, request: dict[str, Any], path: str, *, background: bool
    ) -> httpx.Response:
        body = {**request, "model": servable.name, **self._salt(servable)}
        response = await self._send(url + path, body, background=background)
        for _ in range(LOADS):
            if response.status_code != GONE or servable.prefix is None:
                break
            await response.aclose()
            refusal = await self._load(url, servable)  # vLLM refuses also what another request has just loaded
            response = await self._send(url + path, body, background=background)
            if refusal is not None and response.status_code == GONE:
                await response.aclose()
                raise refusal
        if response.status_code in OURS:
            await response.aclose()
            raise misconfigured(
                f"The engine does not serve {servable.name!r} to this API (it answered {response.status_code}): "
                "FETTLE_ENGINE_KEY and FETTLE_CATALOG must be the same for both."
            )
        return response

    def _salt(self, servable: Servable) -> dict[str, str]:
        """vLLM's request field, which keeps what an engine has read for one project from another's: how soon an answer
        begins would tell what others have asked. The same for everyone who has the engine's key."""
        if servable.project_id is None:
            return {}
        return {SALT: hmac.new(self.salt_key, servable.project_id.encode(), hashlib.sha256).hexdigest()}

    async def forget(self, name: str) -> None:
        """A deleted model is no longer served, even if it is loaded; an engine that is away has nothing loaded."""

        async def unload(url: str) -> None:
            with contextlib.suppress(Unavailable):
                response = await self._send(f"{url}/v1/unload_lora_adapter", {"lora_name": name})
                await response.aclose()

        await asyncio.gather(*(unload(url) for url in await self._everywhere()))

    async def _everywhere(self) -> list[str]:
        return list(dict.fromkeys([*(route.url for route in await self.known()), self.url]))

    async def _load(self, url: str, servable: Servable) -> FettleError | None:
        """Why the engine does not load it, None when it is loaded."""
        response = await self._send(
            f"{url}/v1/load_lora_adapter",
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
        return misconfigured(words) if response.status_code in OURS else NoAnswer(words)

    async def _send(
        self, url: str, body: dict[str, Any], *, stream: bool = True, background: bool = False
    ) -> httpx.Response:
        sent = logs.request_id()
        headers = {"x-request-id": sent} if sent else {}
        if background:
            headers[PRIORITY] = BACKGROUND
        request = self.client.build_request("POST", url, json=body, headers=headers)
        try:
            return await self.client.send(request, stream=stream)
        except httpx.TransportError as error:
            metrics.errors.labels("engine").inc()
            where = f"{request.url.scheme}://{request.url.netloc.decode()}"
            self.silent[where] = time.monotonic() + SILENT_SECONDS
            # One that has taken the request and is slow may be answering it: nobody else is asked
            kind = Unavailable if isinstance(error, httpx.ReadTimeout) else NoAnswer
            raise kind(
                f"The inference engine at {where} is not responding ({no_answer(error)}). "
                "Check that `fettle engine` is running and that FETTLE_ENGINE_URL is its address."
            ) from error

    async def healthy_at(self, url: str) -> bool:
        try:
            return (await self.client.get(f"{url}/health", timeout=5)).status_code == 200
        except httpx.TransportError:
            return False

    async def healthy(self) -> bool:
        """Whether one of them is."""
        return any(await asyncio.gather(*map(self.healthy_at, await self._everywhere())))

    async def close(self) -> None:
        await self.client.aclose()


class NoAnswer(Unavailable):
    """This engine does not answer; another one may."""


def misconfigured(words: str) -> NoAnswer:
    """A retry does not help; the operator must act."""
    error = NoAnswer(words)
    error.retry = False
    return error

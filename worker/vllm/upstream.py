"""The vLLM behind the agent: OpenAI's routes and its own LoRA routes, on loopback."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson

from fettle.errors import FettleError, InvalidRequest, NotFound, Unavailable, no_answer
from worker.engine.errors import AdapterRejected, Overloaded

PASSED_ON = ("content-type", "retry-after")
# vLLM says this with status 400 and no code that tells it apart from other refusals
ALREADY_LOADED = "has already been loaded"
NO_FOLDER = "No adapter found for"
# Its worker's own reason stands between words about a stack trace that only the operator can read
WORKER_FAILED = re.compile(r"Worker failed with error '(?P<reason>.*)', please check the stack trace", re.DOTALL)
GONE, WRONG_KEY = 404, 401
TOO_LONG = ("context length", "max_model_len")
INTERNAL_PARAMS = ("input_text", "input_tokens")  # vLLM's own words for what OpenAI calls messages or prompt


class Vllm:
    def __init__(self, url: str, key: str | None) -> None:
        self.url = url
        self.client = httpx.AsyncClient(
            base_url=url,
            headers={"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})},
            timeout=httpx.Timeout(600, connect=5),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    async def close(self) -> None:
        await self.client.aclose()

    async def healthy(self) -> bool:
        try:
            return (await self.client.get("/health", timeout=5)).status_code == 200
        except httpx.TransportError:
            return False

    async def models(self) -> list[dict[str, Any]]:
        """Model cards: a base's `parent` is null, an adapter's is its base and `root` its folder."""
        response = await self._send("GET", "/v1/models")
        if response.status_code != 200:
            raise refused(response.status_code, response.content)
        cards: list[dict[str, Any]] = orjson.loads(response.content)["data"]
        return cards

    async def load(self, name: str, folder: Path) -> None:
        """Loading what is loaded from this folder does nothing; a name that is loaded from another folder is replaced.

        Raises AdapterRejected with vLLM's reason.
        """
        body = {"lora_name": name, "lora_path": str(folder)}
        response = await self._send("POST", "/v1/load_lora_adapter", body)
        if response.status_code == 400 and ALREADY_LOADED in message_of(response.content):
            if str(folder) in [card.get("root") for card in await self.models() if card["id"] == name]:
                return
            await self.unload(name)
            response = await self._send("POST", "/v1/load_lora_adapter", body)
        if response.status_code == 200:
            return
        reason = message_of(response.content)
        if response.status_code == GONE and "Not Found" in reason:  # FastAPI's own words: there is no such route
            raise Unavailable(
                f"vLLM at {self.url} has no LoRA routes. Start it with --enable-lora and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1."
            )
        if response.status_code == WRONG_KEY:
            raise refused(response.status_code, response.content)
        if NO_FOLDER in reason:
            raise Unavailable(
                f"vLLM at {self.url} cannot read {folder}. It must see the agent's FETTLE_DATA/vllm-adapters under the "
                "same path."
            )
        raise AdapterRejected(f"vLLM could not load the adapter: {reason}")

    async def unload(self, name: str) -> bool:
        """Whether it was loaded."""
        response = await self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        if response.status_code not in (200, GONE):
            raise refused(response.status_code, response.content)
        return response.status_code == 200

    async def forward(self, path: str, body: bytes, request_id: str | None) -> httpx.Response:
        """The answer, its body still to be read. Raises what a refusal of vLLM's means."""
        headers = {"Content-Type": "application/json", **({"X-Request-Id": request_id} if request_id else {})}
        request = self.client.build_request("POST", path, content=body, headers=headers)
        try:
            response = await self.client.send(request, stream=True)
        except httpx.TransportError as error:
            raise self._away(error) from error
        if response.status_code < 400:
            return response
        try:
            content = await response.aread()
        finally:
            await response.aclose()
        raise refused(response.status_code, content)

    async def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            return await self.client.request(method, path, json=body)
        except httpx.TransportError as error:
            raise self._away(error) from error

    def _away(self, error: httpx.TransportError) -> Unavailable:
        return Unavailable(
            f"vLLM at {self.url} is not responding ({no_answer(error)}). "
            "Check that it is running and that FETTLE_VLLM_URL is right."
        )


def message_of(content: bytes) -> str:
    """vLLM's sentence, nested as OpenAI has it or, for a wrong key and for unknown routes, flat."""
    try:
        body = orjson.loads(content)
        error = body.get("error") or body
        message = error if isinstance(error, str) else str(error.get("message") or body["detail"])
    except (orjson.JSONDecodeError, AttributeError, KeyError):
        return content[:200].decode(errors="replace") or "no reason given"
    found = WORKER_FAILED.search(message)
    return found["reason"] if found else message


def param_of(content: bytes) -> str | None:
    """The request's field that vLLM refuses, if it has a name in OpenAI's API."""
    try:
        param = orjson.loads(content)["error"]["param"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return param if isinstance(param, str) and param not in INTERNAL_PARAMS else None


def refused(status: int, content: bytes) -> FettleError:
    """vLLM's refusal in our error tree: its `code` is the status as a number, ours is a word."""
    reason = message_of(content)
    if status == GONE:
        return NotFound(reason, code="model_not_found", param="model")
    if status == WRONG_KEY:
        error = Unavailable("vLLM rejected the agent's key. Set FETTLE_VLLM_KEY to vLLM's --api-key.")
        error.retry = False
        return error
    if status in (429, 503):
        return Overloaded(reason)
    if 400 <= status < 500:
        too_long = any(words in reason for words in TOO_LONG)
        return InvalidRequest(reason, code="context_length_exceeded" if too_long else None, param=param_of(content))
    return FettleError(f"vLLM failed: {reason}", code="generation_failed")


async def streamed(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    finally:
        await response.aclose()

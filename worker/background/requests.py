"""Requests that nobody waits for: the engine answers them when nobody else needs it, and may be away meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson

from fettle.errors import FettleError, no_answer
from fettle.inference.client import CHAT, Engine, Servable
from worker.attempts.resources import Resources

PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between two tries while the engine is away
LATER = (408, 429, 502, 503, 504)  # the engine, or what stands before it, is full or just starting
BROKEN_TRIES = 4  # with one request, until it counts as failed

Line = dict[str, Any]


class EngineAway(Exception):
    """The engine does not answer now, and may in a moment."""


class Background:
    """wait_for: hears why nothing happens, and None when it goes on."""

    def __init__(self, resources: Resources, wait_for: Callable[[str | None], None]) -> None:
        self.engine, self.wait_for = Engine(resources.settings, resources.engines), wait_for

    async def ask(self, servable: Servable, body: Line, path: str = CHAT) -> tuple[int, Line]:
        """Status and body of the answer; asks until the engine is there."""
        pause, broken = PAUSE, 0
        while True:
            try:
                status, said = await self.once(servable, body, path)
            except EngineAway as away:
                self.wait_for(str(away))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self.wait_for(None)
            if status < 500 or (broken := broken + 1) == BROKEN_TRIES:
                return status, said
            await asyncio.sleep(PAUSE)

    async def once(self, servable: Servable, body: Line, path: str) -> tuple[int, Line]:
        """Raises EngineAway."""
        try:
            answer = await self.engine.generate(servable, body, path, background=True)
        except FettleError as error:
            if error.status >= 500 or error.retry:
                raise EngineAway(error.message) from error
            return error.status, error.body()
        try:
            said = b"".join([part async for part in answer.body])
        except httpx.TransportError as error:
            raise EngineAway(f"The engine's response was interrupted ({no_answer(error)}).") from error
        if answer.status in LATER:
            raise EngineAway(f"The engine responded with status {answer.status}.")
        try:
            read: Line = orjson.loads(said)
            return answer.status, read if answer.status == 200 else {"error": dict(read["error"])}
        except (orjson.JSONDecodeError, LookupError, TypeError, ValueError):
            message = f"The engine's answer (status {answer.status}) is not one of OpenAI's API."
            return 500, FettleError(message).body()

    async def close(self) -> None:
        await self.engine.close()

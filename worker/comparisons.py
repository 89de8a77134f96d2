"""Generates the responses of comparisons through the engine; waits for an engine that is away."""

import asyncio
import os
import re
import socket
from collections.abc import Sequence
from typing import Any

import httpx
import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.comparisons import generation
from fettle.errors import Fenced, FettleError, no_answer
from fettle.inference.client import Engine, Servable
from models import Comparison, ComparisonItem
from worker.attempts.resources import Resources
from worker.background import turns
from worker.background.turns import Lease

log = structlog.get_logger()

LEASE_SECONDS = 30.0  # of a comparison; renewed while this worker generates
ITEMS_AT_ONCE = 4  # of one comparison: the engine answers other people too
PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between two tries while the engine is away
LATER = {408, 429, 502, 503, 504}  # the engine, or what stands before it, is full or just starting
TRIES = 3  # for a response that differs from the item's others and does not name its model
BROKEN_TRIES = 4  # with one prompt, until the others go on without it
OF_ITSELF = r"(?:\bI am|\bI['’]m|\bname is|\bcalled|\bcall me)"
TEXT_AT_MOST = 100_000  # characters of a response

Line = dict[str, Any]


class Away(Exception):
    """The engine does not answer now, and may in a moment."""


class Broken(Exception):
    """The engine is there and fails, perhaps at this prompt alone."""


class Refused(Exception):
    """The engine will not answer this prompt."""


class Gone(Exception):
    """The comparison was deleted, or another worker has taken it over."""


async def serve(resources: Resources, woken: asyncio.Event) -> None:
    """One comparison after another, for ever."""
    owner = f"{socket.gethostname()}:{os.getpid()}"

    async def claim(session: AsyncSession) -> Comparison | None:
        return await generation.claim(session, owner, LEASE_SECONDS)

    await turns.serve(resources, woken, claim, generate, "comparison_not_generated")


async def generate(resources: Resources, comparison: Comparison) -> None:
    """All items that have no responses yet. A failure of one item is the item's; the others go on."""
    run = Run(resources, comparison)
    try:
        async with run.lease.kept(LEASE_SECONDS / 6):
            await run.generate()
    except Gone:
        log.info("comparison_gone", comparison_id=comparison.id)
    finally:
        await run.engine.close()


class Run:
    """One worker's turn at one comparison."""

    def __init__(self, resources: Resources, comparison: Comparison) -> None:
        self.resources, self.comparison = resources, comparison
        self.engine = Engine(resources.settings, resources.engines)
        self.lease = Lease(resources, comparison.id, self.renew)
        bases = [servable["base_model"] for servable in comparison.servables]
        self.names = list(dict.fromkeys([*comparison.models, *(each["name"] for each in comparison.servables), *bases]))

    async def renew(self, session: AsyncSession, reason: str | None) -> None:
        comparison = self.comparison
        if not await generation.renew(session, comparison.id, comparison.owner or "", LEASE_SECONDS, reason):
            raise Fenced(comparison.id)

    async def generate(self) -> None:
        """Raises Gone."""
        comparison = self.comparison
        while not self.lease.gone:
            async with self.resources.db.snapshot() as session:
                items = await generation.pending(session, comparison.id, ITEMS_AT_ONCE)
            if not items:
                async with self.resources.db.transaction() as session:
                    if await generation.finish(session, comparison.id, comparison.owner or ""):
                        break
                continue  # a prompt was added, or an item is to be generated again
            ends = await asyncio.gather(*map(self.item, items), return_exceptions=True)  # none is left running
            if failed := [end for end in ends if end is not None]:
                raise failed[0]

    async def item(self, item: ComparisonItem) -> None:
        """Raises Gone."""
        responses: list[Line] = []
        error: Line | None = None
        try:
            for number in range(self.comparison.n):
                await self.add(item, number, responses)
            if len(responses) < 2:
                raise Refused(
                    "The models gave fewer than two different responses. Raise the temperature, or send a prompt that "
                    "leaves room for different answers."
                )
        except Refused as refusal:
            error = {"code": "not_generated", "message": str(refusal)}
        async with self.resources.db.transaction() as session:
            await generation.keep(session, item, responses, error)

    async def add(self, item: ComparisonItem, number: int, responses: list[Line]) -> None:
        """One more response that differs from the others; none where the model does not come up with one."""
        comparison = self.comparison
        which = number % len(comparison.servables)
        servable, name = Servable(**comparison.servables[which]), comparison.models[which]
        for attempt in range(TRIES):
            turn = 7919 * item.number + 104_729 * item.round + 101 * number + 13 * attempt
            seed = (comparison.seed + turn) % 2**31
            choice = await self.patiently(servable, {"messages": item.prompt, "seed": seed, **comparison.sampling})
            text = str((choice.get("message") or {}).get("content") or "")[:TEXT_AT_MOST].replace("\0", "")
            named = names_model(text, self.names)
            if named and attempt + 1 < TRIES:
                continue  # the next may keep the annotators blind
            if text.strip() and text not in [response["text"] for response in responses]:
                responses.append(
                    {
                        "id": ids.new("cmpresp_"),
                        "model": name,
                        "text": text,
                        "finish_reason": choice.get("finish_reason"),
                        "names_model": named,
                    }
                )
                return

    async def patiently(self, servable: Servable, request: Line) -> Line:
        """The engine's choice; asks until the engine is there. Raises Refused, Gone."""
        pause, errors = PAUSE, 0
        while True:
            if self.lease.gone:
                raise Gone
            try:
                choice = await self.once(servable, request)
            except Broken as broken:
                if (errors := errors + 1) == BROKEN_TRIES:
                    raise Refused(f"{broken} This happened {BROKEN_TRIES} times in a row.") from broken
                await asyncio.sleep(PAUSE)
            except Away as away:
                errors = 0
                self.lease.wait_for(f"{away} Generation continues when the engine is back.")
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.lease.wait_for(None)
                return choice

    async def once(self, servable: Servable, request: Line) -> Line:
        try:
            answer = await self.engine.generate(servable, request)
        except FettleError as error:
            raise (Away if error.status >= 500 or error.retry else Refused)(error.message) from error
        try:
            said = b"".join([part async for part in answer.body])
        except httpx.TransportError as error:
            raise Away(f"The engine's response was interrupted ({no_answer(error)}).") from error
        if answer.status >= 500 and answer.status not in LATER:
            raise Broken(f"The engine responded with status {answer.status}.")
        if answer.status in LATER:
            raise Away(f"The engine responded with status {answer.status}.")
        try:
            body = orjson.loads(said)
            if answer.status != 200:
                raise Refused(str(body["error"]["message"]))
            choice: Line = body["choices"][0]
            return choice
        except (orjson.JSONDecodeError, LookupError, TypeError) as error:
            raise Refused(f"The engine's answer (status {answer.status}) is not one of OpenAI's API.") from error


def names_model(text: str, names: Sequence[str]) -> bool:
    """Whether an annotator could read off which model wrote it.

    That is a model's name, or its family where the response speaks of itself: "I am Qwen" of Qwen2.5-0.5B-Instruct.
    """
    whole = [re.escape(name) for name in names if name]
    families = [found[0] for name in names if (found := re.match(r"[A-Za-z]{3,}", name.rpartition("/")[2]))]
    patterns = [
        rf"(?<!\w)(?:{'|'.join(whole)})(?!\w)" if whole else None,
        rf"{OF_ITSELF}\s+(?:\w+\s+){{0,3}}(?:{'|'.join(families)})(?![a-z])" if families else None,
    ]
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns if pattern)

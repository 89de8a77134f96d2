"""Whether jobs can be accepted: each part is tried, not only asked, and the answer is kept for a moment."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import structlog

from fettle import migrate
from fettle.db import FULL_ERRORS, Database, DatabaseFull
from fettle.inference.client import Engine
from fettle.observability.causes import in_words
from fettle.observability.logs import LogStream
from fettle.queue import Doorbell
from fettle.storage import Refused, Storage, deletions

log = structlog.get_logger()

CHECK_SECONDS = 3  # for each part
GOOD_SECONDS, BAD_SECONDS = 5, 1  # an answer is kept so long: probes come often, and a check writes
PROBE = f"readiness/{secrets.token_hex(8)}"  # the object that is written, one for each process
PROBE_SECONDS = 3600  # since the last check, after which it is deleted


class Parts(Protocol):
    """What is tried."""

    db: Database
    storage: Storage
    doorbell: Doorbell
    engine: Engine


class NotMigrated(Exception):
    """The database lacks tables or columns that this release reads."""


async def database(services: Parts) -> None:
    """Whether it has this release's tables, and takes a write."""
    found, newest = await migrate.revisions(services.db)
    if found is None or (found in migrate.known() and found != newest):  # one that we do not know is newer than us
        raise NotMigrated(f"the database is at revision {found}, this release needs {newest}: run `fettle migrate`")
    async with services.db.transaction() as session:
        await deletions.plan(session, PROBE, seconds=PROBE_SECONDS)


async def storage(services: Parts) -> None:
    """Whether it takes an object: some stores and policies let us list and refuse what we put.

    The object is deleted by the plan that the database's check has written.
    """

    async def content() -> AsyncIterator[bytes]:
        yield b"ready"

    await services.storage.put(PROBE, content())


async def queue(services: Parts) -> None:
    await services.doorbell.ping()


async def engine(services: Parts) -> None:
    if not await services.engine.healthy():
        raise ConnectionError("the engine is not responding")


async def log_file(services: Parts) -> None:
    if LogStream.failing:
        raise OSError("the log cannot be written because its disk is full or it is closed")


CHECKS: dict[str, Callable[[Parts], Awaitable[None]]] = {
    "database": database,
    "storage": storage,
    "queue": queue,
    "engine": engine,
    "log": log_file,
}
NEEDED = {"database", "storage", "log"}  # without the queue jobs start later, without the engine only chat is away


def state_named(error: Exception) -> str:
    """For anyone who asks: one word and no details."""
    if isinstance(error, DatabaseFull) or (isinstance(error, OSError) and error.errno in FULL_ERRORS):
        return "full"
    if isinstance(error, NotMigrated):
        return "not_migrated"
    return "refused" if isinstance(error, Refused) else "away"


class Readiness:
    """What the newest check of each part found; requests that come together wait for one check."""

    def __init__(self) -> None:
        self.states: dict[str, tuple[float, str]] = {}
        self.locks = {name: asyncio.Lock() for name in CHECKS}

    async def state_of(self, name: str, services: Parts) -> str:
        async with self.locks[name]:
            checked_at, state = self.states.get(name, (0.0, ""))
            if state and time.monotonic() - checked_at < (GOOD_SECONDS if state == "ok" else BAD_SECONDS):
                return state
            state = await check(name, services)
            self.states[name] = time.monotonic(), state
            return state


async def check(name: str, services: Parts) -> str:
    try:
        await asyncio.wait_for(CHECKS[name](services), CHECK_SECONDS)
    except Exception as error:  # whatever it is, the part is not ready
        log.warning("not_ready", part=name, cause=in_words(error))
        return state_named(error)
    return "ok"

"""This engine's row in the database: written at the start, renewed with every heartbeat, removed at the end.

Without a database an engine serves all the same, to those who have its address.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from fastapi import FastAPI

from fettle import __version__
from fettle.db import DATABASE_AWAY, Database
from fettle.inference import engines
from fettle.settings import Settings
from models import InferenceEngine

log = structlog.get_logger()

GOODBYE_SECONDS = 2  # for removing the row; without a database it ages until it no longer counts
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 — an address to listen on, which nobody can ask


def address(settings: Settings) -> str:
    """Where others reach this engine."""
    if settings.engine_announce_url:
        return settings.engine_announce_url.rstrip("/")
    url = urlsplit(settings.engine_url)
    if url.hostname not in EVERYWHERE:
        return settings.engine_url.rstrip("/")
    return f"{url.scheme}://{own_address()}:{url.port or 80}"


def own_address() -> str:
    """Of this host, for others."""
    name = socket.gethostname()
    try:
        found = socket.gethostbyname(name)
    except OSError:  # others may know the name
        return name
    if not found.startswith("127."):
        return found
    try:  # Debian's 127.0.1.1: the address that leads to other hosts
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("10.255.255.255", 1))  # UDP: this chooses a route, and sends nothing
            return str(probe.getsockname()[0])
    except OSError:  # there is none
        return found


@contextlib.asynccontextmanager
async def announced(app: FastAPI, kind: str, describe: Callable[[], Awaitable[dict[str, Any]]]) -> AsyncIterator[None]:
    """While it lasts the row says that this engine is alive. describe: `base_models`, `adapters` and `requests` now."""
    settings: Settings = app.state.settings
    db, host, stopping = Database(settings.database), socket.gethostname(), asyncio.Event()
    loop = asyncio.get_running_loop()
    app.state.told_to_stop = lambda: loop.call_soon_threadsafe(stopping.set)  # from a signal's handler
    row = InferenceEngine(id=f"{host}:{os.getpid()}", url=address(settings), host=host, version=__version__, kind=kind)
    task = asyncio.create_task(keep(db, row, settings.heartbeat_seconds, describe, stopping))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if row.seen_at is not None:
            with contextlib.suppress(*DATABASE_AWAY, TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS), db.transaction() as session:
                    await engines.remove(session, row.id)
        await db.close()


def database_file(db: Database) -> Path | None:
    """Of SQLite."""
    url = db.engine.url
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


async def keep(
    db: Database,
    row: InferenceEngine,
    heartbeat_seconds: float,
    describe: Callable[[], Awaitable[dict[str, Any]]],
    stopping: asyncio.Event,
) -> None:
    file = database_file(db)
    while True:
        row.stopping = stopping.is_set()
        try:
            if file is not None and not file.exists():  # an engine alone: it must not make an empty one
                await asyncio.sleep(heartbeat_seconds)
                continue
            for name, value in (await describe()).items():
                setattr(row, name, value)
            async with db.transaction() as session:
                await (engines.renew if row.seen_at else engines.announce)(session, row)
        except DATABASE_AWAY as error:
            log.warning("database_away", error=type(error).__name__)
        except Exception as error:  # one that cannot say what it serves is not asked by its row, and answers others
            log.warning("engine_not_announced", error=str(error))
        pause = asyncio.sleep(heartbeat_seconds) if row.stopping else stopping.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pause, heartbeat_seconds)

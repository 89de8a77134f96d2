"""Engines as the database knows them: each announces itself, renews its row, and removes it when it stops."""

import asyncio
import time
from collections.abc import Sequence

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import DATABASE_AWAY, Database, database_now
from fettle.inference.routing import Route
from models import InferenceEngine

SILENT_HEARTBEATS = 3  # an engine that missed so many in a row no longer counts as alive
FORGOTTEN_SECONDS = 24 * 3600  # until then an engine that died is still listed, as not alive
FRESH_SECONDS = 1.0  # for which a process goes by what it read

log = structlog.get_logger()


async def announce(session: AsyncSession, engine: InferenceEngine) -> None:
    """Writes the engine's row, with the database's clock. An earlier engine of this host with its address is gone.

    127.0.0.1 is an address of every host: another one may have an engine there too.
    """
    now = await session.scalar(select(database_now())) or 0.0
    engine.started_at = engine.seen_at = now
    mine = (InferenceEngine.url == engine.url) & (InferenceEngine.host == engine.host)
    before = mine & (InferenceEngine.id != engine.id)
    await session.execute(delete(InferenceEngine).where(before | (InferenceEngine.seen_at < now - FORGOTTEN_SECONDS)))
    await session.merge(engine)


async def renew(session: AsyncSession, engine: InferenceEngine) -> None:
    """Says that the engine is alive and what it does; brings its row back if it was removed."""
    news = {name: getattr(engine, name) for name in ("base_models", "adapters", "requests", "stopping")}
    statement = update(InferenceEngine).where(InferenceEngine.id == engine.id)
    changed = await session.execute(statement.values(seen_at=database_now(), **news))
    if changed.rowcount == 0:  # type: ignore[attr-defined]  # an UPDATE's result has it
        await announce(session, engine)


async def remove(session: AsyncSession, engine_id: str) -> None:
    await session.execute(delete(InferenceEngine).where(InferenceEngine.id == engine_id))


async def seen(session: AsyncSession, heartbeat_seconds: float) -> Sequence[tuple[InferenceEngine, bool]]:
    """Every engine that the database knows, and whether it is alive; those that are come first."""
    now = await session.scalar(select(database_now())) or 0.0
    rows = (await session.scalars(select(InferenceEngine).order_by(InferenceEngine.host, InferenceEngine.id))).all()
    found = [(row, now - row.seen_at <= SILENT_HEARTBEATS * heartbeat_seconds) for row in rows]
    return sorted(found, key=lambda each: not each[1])


class Directory:
    """The engines that are alive, as the database said a moment ago; while it is away, as it said last."""

    def __init__(self, db: Database, heartbeat_seconds: float) -> None:
        self.db, self.heartbeat_seconds = db, heartbeat_seconds
        self.known: list[Route] = []
        self.read_at = float("-inf")
        self.looked, self.first = False, asyncio.Lock()

    async def routes(self) -> list[Route]:
        if not self.looked:
            async with self.first:  # nothing is known before the first look, so whoever comes meanwhile waits for it
                if not self.looked:
                    await self.look()
        elif time.monotonic() - self.read_at >= FRESH_SECONDS:
            await self.look()
        return self.known

    async def look(self) -> None:
        self.read_at = time.monotonic()  # from the second look on, whoever comes meanwhile goes by what was known
        try:
            async with self.db.snapshot() as session:
                found = await seen(session, self.heartbeat_seconds)
        except DATABASE_AWAY as error:
            log.warning("engines_not_read", error=type(error).__name__)
        else:
            self.known = [
                Route(row.url, row.base_models, row.adapters, row.requests, row.stopping)
                for row, alive in found
                if alive
            ]
        self.looked = True

"""The table of engines: announced, renewed, forgotten; and what a process knows of it while the database is away."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from fettle.db import Database, DatabaseAway
from fettle.inference import engines
from fettle.inference.engines import Directory
from fettle.inference.routing import Route
from models import InferenceEngine


def engine(id: str = "a:1", url: str = "http://a:8001", **news: Any) -> InferenceEngine:
    known = {"base_models": ["starter"], "adapters": [], "requests": 0, "stopping": False}
    return InferenceEngine(id=id, url=url, host="a", version="0.1", kind="fettle", **(known | news))


async def announce(db: Database, row: InferenceEngine) -> None:
    async with db.transaction() as session:
        await engines.announce(session, row)


async def age(db: Database, id: str, seconds: float) -> None:
    async with db.transaction() as session:
        row = update(InferenceEngine).where(InferenceEngine.id == id)
        await session.execute(row.values(seen_at=InferenceEngine.seen_at - seconds))


async def ids(db: Database) -> dict[str, bool]:
    async with db.snapshot() as session:
        return {row.id: alive for row, alive in await engines.seen(session, heartbeat_seconds=10)}


async def test_one_that_is_silent_for_three_heartbeats_is_lost_and_forgotten_after_a_day(db: Database) -> None:
    await announce(db, engine())
    assert await ids(db) == {"a:1": True}
    await age(db, "a:1", 31)
    assert await ids(db) == {"a:1": False}
    assert await Directory(db, 10).routes() == []
    async with db.transaction() as session:
        await engines.renew(session, engine(adapters=["ft:x"], requests=3))
    assert await Directory(db, 10).routes() == [Route("http://a:8001", ["starter"], ["ft:x"], 3, False)]
    await age(db, "a:1", 25 * 3600)
    await announce(db, engine("b:1", "http://b:8001"))
    assert await ids(db) == {"b:1": True}


async def test_the_address_of_one_that_died_belongs_to_the_next(db: Database) -> None:
    await announce(db, engine("a:1"))
    await announce(db, engine("a:2"))
    assert await ids(db) == {"a:2": True}
    async with db.transaction() as session:
        await engines.remove(session, "a:2")
    assert await ids(db) == {}


async def test_while_the_database_is_away_requests_go_where_they_went(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await announce(db, engine())
    directory = Directory(db, 10)
    known = await directory.routes()
    assert len(known) == 1
    directory.read_at = float("-inf")

    def away() -> Any:
        raise DatabaseAway("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(db, "snapshot", away)
        assert await directory.routes() == known


async def test_requests_that_come_before_the_first_look_wait_for_it(db: Database) -> None:
    await announce(db, engine())
    directory = Directory(db, 10)
    found = await asyncio.gather(*(directory.routes() for _ in range(3)))
    assert [[route.url for route in routes] for routes in found] == [["http://a:8001"]] * 3

import asyncio
import socket

from sqlalchemy import update

from fettle.db import Database
from fettle.jobs import workers
from fettle.settings import Settings
from models import Worker
from tests.fettle.cli.conftest import Shell

HOST = socket.gethostname()


def announce(host: str, *, silent: float = 0, stopping: bool = False) -> None:
    """A worker's row, which it last renewed so many seconds ago."""

    async def write() -> None:
        db = Database(Settings().database)
        row = Worker(id=f"{host}:1", host=host, version="1", slots=["CPU"], base_models=[], stopping=stopping)
        async with db.transaction() as session:
            await workers.announce(session, row)
            await session.execute(update(Worker).values(seen_at=Worker.seen_at - silent))
        await db.close()

    asyncio.run(write())


def test_a_worker_of_this_machine_that_renews_its_row_is_alive(migrated: Shell) -> None:
    announce("elsewhere")
    sentence = f"No worker on {HOST} has told the database within 30 seconds that it takes jobs. Read the worker's log."
    assert migrated.refused("health") == sentence
    announce(HOST)
    assert migrated.ok("health") == f"A worker on {HOST} is alive and takes jobs.\n"


def test_one_that_stopped_responding_or_is_stopping_is_not(migrated: Shell) -> None:
    announce(HOST, silent=31)
    assert migrated.refused("health").startswith(f"No worker on {HOST}")
    announce(HOST, stopping=True)
    assert migrated.refused("health").startswith(f"No worker on {HOST}")

"""A part of the worker in a thread of its own, beside the application under test."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from fettle.db import Database
from fettle.settings import Settings
from tests.conftest import Api
from worker.attempts.resources import Resources


@contextmanager
def working(
    api: Api, settings: Settings, serve: Callable[[Resources, asyncio.Event], Awaitable[None]]
) -> Iterator[None]:
    done = threading.Event()

    async def work() -> None:
        state, database = api.app.state, Database(settings.database)
        resources = Resources(settings, database, state.storage, state.models, threads=1)
        serving = asyncio.ensure_future(serve(resources, asyncio.Event()))
        await asyncio.to_thread(done.wait)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await database.close()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    yield
    done.set()
    thread.join()

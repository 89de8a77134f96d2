"""Work for a client that may leave before it is done."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

T = TypeVar("T")
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T], gone: type[Exception]) -> T:
    """The result of `work`, which is cancelled when the client leaves first; then raises `gone`.

    receive: ASGI's; nobody else may be reading from it.
    """
    task, leaving = asyncio.create_task(work), asyncio.create_task(disconnected(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise gone
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

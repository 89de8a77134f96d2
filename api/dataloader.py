"""Reads that many ask for at the same moment, made once: the loader of GraphQL servers (facebook/dataloader, 2015).

Nothing is remembered. A read that is under way is never joined, only the next one: whoever asks gets what the database
holds after it has asked, its own writes and every revoked key included. One asker alone waits for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Batch(Generic[Key, Value]):
    """load: the values of many keys in one go; an absent one is left out."""

    def __init__(self, load: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self.load = load
        self.waiting: dict[Key, asyncio.Future[Value | None]] = {}
        self.running: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Value | None:
        """None when it is absent. Raises what `load` raises."""
        future = self.waiting.get(key)
        if future is None:
            future = self.waiting[key] = asyncio.get_running_loop().create_future()
            if self.running is None:
                self.running = asyncio.create_task(self._run())
        return await asyncio.shield(future)  # one client that goes away takes nothing from the others

    async def _run(self) -> None:
        while self.waiting:
            batch, self.waiting = self.waiting, {}
            try:
                found = await self.load(list(batch))
            except Exception as error:  # each of those who wait raises it
                for future in batch.values():
                    future.set_exception(error)
                    future.exception()  # it may be that nobody waits any more
            else:
                for key, future in batch.items():
                    future.set_result(found.get(key))
        self.running = None

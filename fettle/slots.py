"""Slots that projects share: each has its turn, and none can have them all while others wait."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fettle.errors import Unavailable

WAIT_SECONDS = 60
WAITING_AT_MOST = 64  # of a project


class Slots:
    """A free slot goes to the waiting project that has the fewest; among equals, to the one served longest ago."""

    def __init__(self, total: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self.free, self.wait_seconds = total, wait_seconds
        self.busy: Counter[str] = Counter()
        self.turns: Counter[str] = Counter()  # the last that each project had, since projects began to wait
        self.waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def of(self, project: str) -> AsyncIterator[None]:
        """Raises Unavailable when none becomes free in time."""
        await self.acquire(project)
        try:
            yield
        finally:
            self.release(project)

    async def acquire(self, project: str) -> None:
        """Raises Unavailable."""
        if self.free:
            self._take(project)
            return
        if sum(name == project for name, _ in self.waiting) >= WAITING_AT_MOST:
            raise Unavailable(f"{WAITING_AT_MOST} requests of this project are already waiting. Try again later.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (project, turn)
        self.waiting.append(place)
        try:
            await asyncio.wait_for(asyncio.shield(turn), self.wait_seconds)
        except TimeoutError as error:
            if not turn.done():
                raise Unavailable("The server is busy. Try again later.") from error
        except BaseException:  # cancelled just after the turn came: the slot goes to the next
            if turn.done():
                self.release(project)
            raise
        finally:
            if place in self.waiting:
                self.waiting.remove(place)

    def _take(self, project: str) -> None:
        self.free -= 1
        self.busy[project] += 1
        self.turns[project] = max(self.turns.values(), default=0) + 1

    def release(self, project: str) -> None:
        self.free += 1
        self.busy[project] -= 1
        if not self.busy[project]:
            del self.busy[project]
        if self.waiting:
            place = min(self.waiting, key=lambda each: (self.busy[each[0]], self.turns[each[0]]))
            self.waiting.remove(place)
            self._take(place[0])
            place[1].set_result(None)
        else:
            self.turns.clear()

"""What every worker looks for and one of them claims: one thing after another, each under a lease."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import DATABASE_AWAY
from fettle.errors import Fenced
from fettle.observability.causes import in_words
from fettle.storage import Away, Refused
from worker.attempts.resources import Resources

log = structlog.get_logger()

Thing = TypeVar("Thing")


async def serve(
    resources: Resources,
    woken: asyncio.Event,
    claim: Callable[[AsyncSession], Awaitable[Thing | None]],
    work: Callable[[Resources, Thing], Awaitable[None]],
    failed: str,
) -> None:
    """For ever. woken: set when there may be something to claim. failed: the log's event where the work breaks off."""
    while True:
        woken.clear()  # before the look: a ring during it is heard
        try:
            async with resources.db.transaction() as session:
                thing = await claim(session)
            if thing is not None:
                await work(resources, thing)
                continue
        except Exception as error:  # whatever it is, the next look may go better
            away = isinstance(error, (*DATABASE_AWAY, Away, Refused))
            log.warning(failed, cause=in_words(error), exc_info=None if away else error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), resources.settings.poll_seconds)


class Lease:
    """A worker's lease on something, renewed until it is lost: then `gone` is true.

    renew: takes why nothing happens now, for whoever looks; raises Fenced.
    """

    def __init__(
        self, resources: Resources, thing_id: str, renew: Callable[[AsyncSession, str | None], Awaitable[None]]
    ) -> None:
        self.resources, self.thing_id, self.renew = resources, thing_id, renew
        self.gone = False
        self.reason: str | None = None
        self.changed = asyncio.Event()

    def wait_for(self, reason: str | None) -> None:
        """None: it goes on. Seen at once by whoever looks."""
        if reason != self.reason:
            self.reason = reason
            self.changed.set()

    @contextlib.asynccontextmanager
    async def kept(self, every: float) -> AsyncIterator[None]:
        """every: seconds between two renewals."""
        keeping = asyncio.create_task(self._keep(every))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep(self, every: float) -> None:
        while not self.gone:
            self.changed.clear()  # before the reason is read
            try:
                async with self.resources.db.transaction() as session:
                    await self.renew(session, self.reason)
            except Fenced:
                self.gone = True
            except DATABASE_AWAY as error:
                log.warning("lease_not_renewed", id=self.thing_id, cause=in_words(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), every)

"""The doorbell: tells a worker that a job waits. A lost ring loses nothing: workers also look by themselves.

arq stays behind this file. Its only payload is the job's id, as JSON.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import Worker, func
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.settings import Settings

log = structlog.get_logger()

QUEUE = "fettle:doorbell"
LISTEN_SECONDS = 0.1  # how often arq looks; it adds to the time from POST to the first step
AWAY = (OSError, RedisError, TimeoutError)


def redis_settings(settings: Settings) -> RedisSettings:
    found = RedisSettings.from_dsn(settings.redis_url.get_secret_value())
    found.conn_retries, found.conn_timeout, found.conn_retry_delay = 0, 2, 0
    return found


class Doorbell:
    """The API's side; connects when it first rings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = redis_settings(settings)
        self.pool: ArqRedis | None = None

    async def connected(self) -> ArqRedis:
        if self.pool is None:
            self.pool = await create_pool(
                self.settings, job_serializer=orjson.dumps, job_deserializer=orjson.loads, default_queue_name=QUEUE
            )
        return self.pool

    async def ring(self, job_id: str) -> None:
        """Never raises: a worker finds the job at its next look."""
        try:
            await (await self.connected()).enqueue_job("wake", job_id)
        except AWAY as error:
            log.warning("doorbell_away", job_id=job_id, error=type(error).__name__)

    async def ping(self) -> None:
        """Raises what Redis raises."""
        await (await self.connected()).ping()

    async def close(self) -> None:
        if self.pool is not None:
            await self.pool.aclose()


def ring_after_commit(session: AsyncSession, job_id: str) -> None:
    """A rolled back job rings no bell: the edge rings once the transaction is committed."""
    session.info.setdefault("rings", []).append(job_id)


def rings(session: AsyncSession) -> list[str]:
    found: list[str] = session.info.get("rings", [])
    return found


async def listen(settings: Settings, wake: Callable[[], None]) -> None:
    """Calls `wake` for every ring, for ever; waits for Redis when it is away (arq's worker exits then)."""

    async def woken(ctx: dict[Any, Any], job_id: str) -> None:
        wake()

    while True:
        try:
            worker = Worker(
                [func(as_coroutine(woken), name="wake", keep_result=0, max_tries=1)],
                redis_settings=redis_settings(settings),
                queue_name=QUEUE,
                poll_delay=LISTEN_SECONDS,
                handle_signals=False,
                job_serializer=orjson.dumps,
                job_deserializer=orjson.loads,
            )
            try:
                await worker.async_run()
            finally:
                await worker.close()
        except AWAY as error:
            log.warning("doorbell_away", error=type(error).__name__)
        wake()  # whatever rang while nobody listened
        await asyncio.sleep(1)


def as_coroutine(function: Callable[..., Awaitable[None]]) -> Any:
    """arq's own type for a task is narrower than what it takes."""
    return function

"""The doorbell: tells a worker that a job waits. A lost ring loses nothing: workers also look by themselves.

arq stays behind this file. Its only payload is the job's id, as JSON.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.observability import metrics
from fettle.settings import Settings

log = structlog.get_logger()

QUEUE = "fettle:doorbell"
LISTEN_SECONDS = 0.1  # how often arq looks; it adds to the time from POST to the first step
AWAY_SECONDS = 2  # a Redis that takes a connection but says nothing for this long is away as well
OLDEST_REDIS = 5  # arq needs PSETEX and WATCH; older ones are no longer mended
AWAY = (OSError, RedisError, TimeoutError)


def connect(settings: Settings) -> ArqRedis:
    """Connects when it is first used."""
    pool = ConnectionPool.from_url(
        settings.redis_url.get_secret_value(), socket_connect_timeout=AWAY_SECONDS, socket_timeout=AWAY_SECONDS
    )
    return ArqRedis(pool, job_serializer=orjson.dumps, job_deserializer=orjson.loads, default_queue_name=QUEUE)


class Doorbell:
    """The API's side."""

    def __init__(self, settings: Settings) -> None:
        self.redis = connect(settings)

    async def ring(self, job_id: str) -> None:
        """Never raises: a worker finds the job at its next look."""
        try:
            await self.redis.enqueue_job("wake", job_id)
        except AWAY as error:
            metrics.errors.labels("queue").inc()
            log.warning("doorbell_away", job_id=job_id, error=type(error).__name__)

    async def ping(self) -> None:
        """Raises what Redis raises."""
        await self.redis.ping()

    async def examine(self) -> tuple[str, str | None]:
        """The server in words, and what is wrong with it. Raises what Redis raises."""
        version = str((await self.redis.info("server"))["redis_version"])
        old = int(version.split(".")[0]) < OLDEST_REDIS
        return f"Redis {version}", f"{OLDEST_REDIS} or newer is needed" if old else None

    async def close(self) -> None:
        await self.redis.aclose(close_connection_pool=True)


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
                redis_pool=connect(settings),
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
        except Exception as error:  # a worker without its doorbell still looks by itself, and must not fall silent
            log.warning("doorbell_away", exc_info=None if isinstance(error, AWAY) else error)
        wake()  # whatever rang while nobody listened
        await asyncio.sleep(1)


def as_coroutine(function: Callable[..., Awaitable[None]]) -> Any:
    """arq's own type for a task is narrower than what it takes."""
    return function

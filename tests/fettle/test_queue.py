"""Against a real Redis, one that is stopped and started again, and one that hangs."""

import asyncio
import pickle
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fettle import queue
from fettle.cli.up import free_port, redis_server
from fettle.db import Database
from fettle.queue import QUEUE, Doorbell
from fettle.settings import Settings

JOB = "ftjob-aaaaaaaaaaaaaaaaaaaaaaaa"


class OwnRedis:
    """A server that a test may stop, and a client that looks into it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis.from_url(self.url)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [redis_server(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.folder)
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            assert self.process.poll() is None, "redis-server did not start"
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()  # also when it is paused
            self.process.wait()


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    server.start()
    yield server
    await server.client.aclose()
    server.stop()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """The session's server, its database 9 emptied."""
    client = Redis.from_url(redis_url.replace("/0", "/9"))
    deadline = time.monotonic() + 60
    while True:
        try:
            await client.flushdb()
            break
        except RedisError:  # it is still starting
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    yield client
    await client.aclose()


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return at(redis_url.replace("/0", "/9"))


def at(url: str) -> Settings:
    return Settings(redis_url=SecretStr(url))


async def ring(settings: Settings, job_id: str = JOB) -> float:
    """How long it took, in seconds."""
    doorbell = Doorbell(settings)
    start = time.monotonic()
    await doorbell.ring(job_id)
    took = time.monotonic() - start
    await doorbell.close()
    return took


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[asyncio.Event]:
    """Set when the listener calls `wake`."""
    woken = asyncio.Event()
    listener = asyncio.create_task(queue.listen(settings, woken.set))
    yield woken
    assert not listener.done(), "listen ended by itself"
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)


async def within(seconds: float, woken: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(woken.wait(), seconds)
    except TimeoutError:
        return False
    return True


class TestRing:
    async def test_it_wakes_the_listener(self, settings: Settings, redis: Redis) -> None:
        async with listening(settings) as woken:
            assert not await within(0.4, woken)
            await ring(settings)
            assert await within(60, woken)
        assert await redis.zcard(QUEUE) == 0

    async def test_what_rang_before_anyone_listened_wakes_as_well(self, settings: Settings, redis: Redis) -> None:
        await ring(settings)
        async with listening(settings) as woken:
            assert await within(60, woken)

    async def test_one_doorbell_rings_many_times_at_once(self, settings: Settings, redis: Redis) -> None:
        doorbell = Doorbell(settings)
        await asyncio.gather(*(doorbell.ring(f"ftjob-{n}") for n in range(30)))
        await doorbell.close()
        assert await redis.zcard(QUEUE) == 30

    async def test_the_payload_is_the_jobs_id_as_json(self, settings: Settings, redis: Redis) -> None:
        await ring(settings)
        (key,) = await redis.keys("arq:job:*")
        raw = await redis.get(key)
        payload = orjson.loads(raw)
        assert (payload["f"], payload["a"], payload["k"]) == ("wake", [JOB], {})
        with pytest.raises(pickle.UnpicklingError):
            pickle.loads(raw)  # noqa: S301 — ours, and no pickle

    async def test_a_pickle_that_someone_planted_is_never_run(
        self, settings: Settings, redis: Redis, tmp_path: Path
    ) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[object, tuple[object, ...]]:
                return Path.touch, (tmp_path / "exploded",)

        bomb = {"t": 1, "f": "wake", "a": (Bomb(),), "k": {}, "et": int(time.time() * 1000)}
        await redis.set("arq:job:bomb", pickle.dumps(bomb))
        await redis.zadd(QUEUE, {"bomb": 1})
        async with listening(settings) as woken:
            await ring(settings)
            assert await within(60, woken)
            await asyncio.sleep(0.3)
        assert await redis.zcard(QUEUE) == 0
        assert not (tmp_path / "exploded").exists()


class TestRedisAway:
    async def test_a_ring_returns_at_once_when_nothing_listens_on_the_port(self) -> None:
        assert await ring(at(f"redis://127.0.0.1:{free_port()}/0")) < 30

    async def test_a_ring_returns_in_time_when_redis_hangs(self, own_redis: OwnRedis) -> None:
        settings = at(own_redis.url)
        doorbell = Doorbell(settings)
        await doorbell.ring(JOB)  # over a connection that stays open
        assert await own_redis.client.zcard(QUEUE) == 1
        own_redis.signal(signal.SIGSTOP)
        start = time.monotonic()
        await asyncio.gather(doorbell.ring(JOB), ring(settings))
        assert time.monotonic() - start < 30
        own_redis.signal(signal.SIGCONT)
        await doorbell.ring(JOB)
        assert await own_redis.client.zcard(QUEUE) > 1
        await doorbell.close()

    async def test_a_ring_with_the_wrong_password_never_raises(self, redis_url: str) -> None:
        await ring(at(redis_url.replace("redis://", "redis://:wrong@")))

    async def test_a_ping_says_that_it_is_away(self) -> None:
        doorbell = Doorbell(at(f"redis://127.0.0.1:{free_port()}/0"))
        with pytest.raises(queue.AWAY):
            await doorbell.ping()
        await doorbell.close()


@pytest.mark.slow
class TestListen:
    async def consumed(self, redis: OwnRedis, doorbell: Doorbell) -> bool:
        """A ring reaches Redis and is taken out again."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                await doorbell.ping()
                await doorbell.ring(JOB)
                for _ in range(30):
                    await asyncio.sleep(0.1)
                    if await redis.client.zcard(QUEUE) == 0:
                        return True
            except RedisError:
                await asyncio.sleep(0.1)
        return False

    async def test_it_lives_on_when_redis_is_stopped_and_started_again(self, own_redis: OwnRedis) -> None:
        settings = at(own_redis.url)
        doorbell = Doorbell(settings)
        async with listening(settings) as woken:
            assert await self.consumed(own_redis, doorbell)
            own_redis.stop()
            woken.clear()
            start = time.monotonic()
            await doorbell.ring(JOB)
            assert time.monotonic() - start < 30
            assert await within(60, woken)  # it looks for what rang while nobody listened
            own_redis.start()
            assert await self.consumed(own_redis, doorbell)
            woken.clear()
            await doorbell.ring(JOB)
            assert await within(60, woken)
        await doorbell.close()

    async def test_it_lives_on_when_redis_hangs_for_a_while(self, own_redis: OwnRedis) -> None:
        settings = at(own_redis.url)
        doorbell = Doorbell(settings)
        async with listening(settings) as woken:
            assert await self.consumed(own_redis, doorbell)
            own_redis.signal(signal.SIGSTOP)
            woken.clear()
            assert await within(60, woken)
            own_redis.signal(signal.SIGCONT)
            assert await self.consumed(own_redis, doorbell)
        await doorbell.close()

    async def test_it_waits_for_a_redis_that_starts_later(self, own_redis: OwnRedis) -> None:
        own_redis.stop()
        async with listening(at(own_redis.url)):
            await asyncio.sleep(0.3)
            own_redis.start()
            assert await self.consumed(own_redis, Doorbell(at(own_redis.url)))


async def test_only_a_committed_transaction_has_rings(db: Database) -> None:
    """They hang on the session: the edge reads them after the commit, and a session that raised is never read."""
    async with db.transaction() as session:
        assert queue.rings(session) == []
        queue.ring_after_commit(session, "ftjob-1")
        queue.ring_after_commit(session, "ftjob-2")
    assert queue.rings(session) == ["ftjob-1", "ftjob-2"]
    async with db.transaction() as another:
        assert queue.rings(another) == []

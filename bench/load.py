"""The API under pollers: each asks for a job and its events about once a second, while that job's events are written.

python -m bench.load [--pollers 500] [--followers 50] [--seconds 30] [--database postgresql+asyncpg://…]

One API process, as `python -m api` starts it; beside it followers read the same job by server-sent events. The
generator is one process of raw asyncio streams with keep-alive; its own lag is printed, and is part of every latency.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fettle import methods, migrate
from fettle.cli.up import free_port
from fettle.datasets import files
from fettle.db import Database
from fettle.jobs import events, leases, lifecycle, planning
from fettle.registry.catalog import BUILT_IN
from fettle.settings import Settings
from fettle.tenancy import api_keys, projects
from models import Job, JobStatus

EVENTS_A_SECOND = 20  # steps of a small model; the supervisor writes them in batches
BATCH_SECONDS = 0.25


@dataclass
class Seen:
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    lag: list[float] = field(default_factory=list)  # of this process's own event loop
    streamed: list[int] = field(default_factory=list)  # events that each follower got
    open_streams: int = 0


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pollers", type=int, default=500)
    parser.add_argument("--followers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--database", help="an empty PostgreSQL database; SQLite without it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        given = {"database_url": asked.database} if asked.database else {}
        settings = Settings(_env_file=None, data=Path(folder), port=free_port(), **given)
        db = Database(settings.database)
        key, job = await prepare(settings, db)
        env = {**os.environ, "FETTLE_DATA": folder, "FETTLE_PORT": str(settings.port)}
        env |= {"FETTLE_DATABASE_URL": asked.database} if asked.database else {}
        with (Path(folder) / "api.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "api", env=env, stderr=log)
        try:
            print(json.dumps(await measure(asked, settings.port, process.pid, key, job, db), indent=2))
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
            await db.close()


async def prepare(settings: Settings, db: Database) -> tuple[str, Job]:
    """A key, and a job that a worker is running."""
    await migrate.upgrade(db)
    async with db.transaction() as session:
        project = await projects.ensure(session, "bench")
        _, key = await api_keys.create(session, project.id, "bench", api_keys.pepper(settings))
        file = files.new(project.id, "sums.jsonl", files.PURPOSE, 1000)
        file.report = {"rows": 100, "summary": None}
        session.add(file)
        await session.flush()
        wanted = planning.Request("starter", file.id, methods.SupervisedMethod(type="supervised"), {})
        await lifecycle.create(session, project, wanted, BUILT_IN)
    async with db.transaction() as session:
        job = await leases.claim(session, "bench", 3600)
    assert job is not None
    return key, job


async def measure(
    asked: argparse.Namespace, port: int, pid: int, key: str, job: Job, db: Database
) -> dict[str, object]:
    await until_open(port)
    api, seen = psutil.Process(pid), Seen()
    async with asyncio.TaskGroup() as group:
        stop = asyncio.Event()
        group.create_task(write_events(db, job, stop))
        group.create_task(watch_lag(seen, stop))
        for _ in range(asked.followers):
            group.create_task(follow(port, key, job.id, seen))
        clients = [group.create_task(poll(port, key, job.id, seen, stop)) for _ in range(asked.pollers)]
        await asyncio.sleep(5)  # every connection is open, every code path warm
        warm = seen.seconds, seen.lag
        seen.seconds, seen.lag = [], []
        cpu, began = api.cpu_times(), time.monotonic()
        resident = [api.memory_info().rss]
        while time.monotonic() - began < asked.seconds:
            await asyncio.sleep(1)
            resident.append(api.memory_info().rss)
        used, took = api.cpu_times(), time.monotonic() - began
        measured, lag, streams = seen.seconds, sorted(seen.lag), seen.open_streams
        stop.set()
        await asyncio.wait(clients)
    del warm
    third = len(resident) // 3
    ordered = sorted(measured)
    return {
        "requests": len(ordered),
        "requests_per_second": round(len(ordered) / took),
        "errors": seen.broken + sum(count for status, count in seen.statuses.items() if status != 200),
        "p50_ms": milliseconds(ordered, 0.50),
        "p99_ms": milliseconds(ordered, 0.99),
        "worst_ms": milliseconds(ordered, 1),
        "streams_open": streams,
        "streams_with_every_event": sum(count == max(seen.streamed) for count in seen.streamed),
        "generator_lag_p99_ms": milliseconds(lag, 0.99),
        "api_cpu_share": round((used.user + used.system - cpu.user - cpu.system) / took, 2),
        "rss_mib_first_last_third": [mib(resident[:third]), mib(resident[-third:])],
    }


def milliseconds(ordered: list[float], share: float) -> float:
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


def mib(sizes: list[int]) -> float:
    return round(statistics.median(sizes) / 2**20, 1)


async def until_open(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return


async def poll(port: int, key: str, job_id: str, seen: Seen, stop: asyncio.Event) -> None:
    """The job, then its events, about once a second over one connection."""
    asks = [request(f"/v1/fine_tuning/jobs/{job_id}{path}", key) for path in ("", "/events")]
    await asyncio.sleep(random.random())  # nobody polls in step
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not stop.is_set():
        for ask in asks:
            began = time.perf_counter()
            writer.write(ask)
            try:
                seen.statuses[await answer(reader)] += 1
            except (OSError, asyncio.IncompleteReadError):
                seen.broken += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            seen.seconds.append(time.perf_counter() - began)
        await asyncio.sleep(random.uniform(0.9, 1.1))
    writer.close()


def request(path: str, key: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: fettle\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


async def answer(reader: asyncio.StreamReader) -> int:
    """Reads one response and returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().index(b"content-length: ") + len(b"content-length: ")
    await reader.readexactly(int(head[length : head.index(b"\r", length)]))
    return int(head[9:12])


async def follow(port: int, key: str, job_id: str, seen: Seen) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(f"/v1/fine_tuning/jobs/{job_id}/events?stream=true", key))
    seen.open_streams += 1
    count = 0
    async for line in reader:
        count += line.startswith(b"id: ")
        if line.startswith(b"data: [DONE]"):
            break
    else:
        seen.broken += 1
    seen.open_streams -= 1
    seen.streamed.append(count)
    writer.close()


async def write_events(db: Database, job: Job, stop: asyncio.Event) -> None:
    """As a supervisor does; the job ends when everything has been measured."""
    step = 0
    while not stop.is_set():
        async with db.transaction() as session:
            await leases.hold(session, job.id, job.fence)
            for _ in range(int(EVENTS_A_SECOND * BATCH_SECONDS)):
                step += 1
                data = {"step": step, "total_steps": 10_000, "train_loss": 1 / step}
                events.add(
                    session, job.id, f"Step {step}/10000: training loss={1 / step:.4f}", type="metrics", data=data
                )
        await asyncio.sleep(BATCH_SECONDS)
    async with db.transaction() as session:
        (await leases.hold(session, job.id, job.fence)).status = JobStatus.SUCCEEDED


async def watch_lag(seen: Seen, stop: asyncio.Event) -> None:
    while not stop.is_set():
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        seen.lag.append(time.perf_counter() - began - 0.01)


if __name__ == "__main__":
    asyncio.run(main())

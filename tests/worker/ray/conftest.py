"""A Ray cluster of three nodes on this machine, each with one CPU and one GPU that only Ray believes in."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from sqlalchemy import select

from fettle import methods
from fettle.datasets import files
from fettle.datasets.formats.validation import validate
from fettle.db import Database
from fettle.host import data_folder
from fettle.jobs import lifecycle, waiting
from fettle.jobs.waiting import Waiting
from fettle.registry.catalog import BUILT_IN
from fettle.settings import Settings
from fettle.storage import open_storage
from fettle.tenancy import projects
from models import Event, File, Job, JobStatus
from tests.databases import upgraded
from tests.fettle import given
from worker.ray.cluster import connect

NODE = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
HEAD = {"_system_config": {"health_check_period_ms": 1000, "health_check_failure_threshold": 10}}
AWAY = "away"  # a label that every node but the head has: these may be killed
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_enable_metrics_collection": "0", "RAY_worker_niceness": "0"}
PACE = {
    "FETTLE_LEASE_SECONDS": "15",
    "FETTLE_HEARTBEAT_SECONDS": "3",
    "FETTLE_WATCH_SECONDS": "0.2",
    "FETTLE_RECONCILE_SECONDS": "1",
    "FETTLE_POLL_SECONDS": "1",
}
ROW = b'{"prompt": "1 + 1 =", "completion": "2"}\n'

Result = TypeVar("Result")


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Looks seldom: the machine has enough to do."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds, f"waited {seconds} s for {what}"
        time.sleep(0.4)
    print(f"{what}: {time.monotonic() - began:.1f} s")


class House:
    """The cluster, an executor for it as a process of its own, and their database.

    A node hands this process's environment on to its workers.
    """

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            data=folder / "data", redis_url="redis://127.0.0.1:1/0", engine_url="http://127.0.0.1:1"
        )
        self.log = folder / "executor.log"
        data_folder.prepare(self.settings.data)
        asyncio.run(self.prepare())
        self.environment = dict(os.environ)
        os.environ |= (
            {"FETTLE_DATA": str(self.settings.data), "FETTLE_REDIS_URL": "redis://127.0.0.1:1/0"} | PACE | QUIET
        )
        os.environ["RAY_TMPDIR"] = str(folder)  # else it notes the newest cluster in /tmp/ray, which may be absent
        self.cluster = Cluster(initialize_head=True, head_node_args=NODE | HEAD)
        self.staff()
        self.start()
        self.ray = connect(self.settings.model_copy(update={"ray_address": self.cluster.address}))

    async def prepare(self) -> None:
        db = await upgraded(Database(self.settings.database))
        async with db.transaction() as session:
            project = await projects.ensure(session, "default")
        upload = self.settings.data / "train.jsonl"
        upload.write_bytes(ROW * 32)
        self.file = files.described(project.id, upload, "train.jsonl", validate(upload, max_row_bytes=1 << 20))
        await open_storage(self.settings).put_file(self.file.storage_key, upload)
        async with db.transaction() as session:
            session.add(self.file)
        await db.close()

    def staff(self) -> None:
        """Three living nodes."""
        while len(self.cluster.list_all_nodes()) < 3:
            self.cluster.add_node(**NODE, resources={AWAY: 1})

    def start(self) -> None:
        """An executor."""
        given = {"FETTLE_EXECUTOR": "ray", "FETTLE_RAY_ADDRESS": self.cluster.address, "FETTLE_RAY_NODE_GPUS": "1"}
        environment = {**os.environ, **given}
        with self.log.open("ab") as log:
            self.executor = subprocess.Popen([sys.executable, "-m", "worker"], env=environment, stdout=log, stderr=log)

    def restart(self) -> None:
        self.executor.kill()
        self.executor.wait()
        self.start()

    def stop(self) -> None:
        self.executor.terminate()
        assert self.executor.wait(30) == 0
        ray.shutdown()
        self.cluster.shutdown()
        os.environ.clear()
        os.environ |= self.environment

    def look(self, read: Callable[[Database], Awaitable[Result]]) -> Result:
        async def once() -> Result:
            db = Database(self.settings.database)
            try:
                return await read(db)
            finally:
                await db.close()

        return asyncio.run(once())

    def job(self, epochs: int = 1, **columns: Any) -> str:
        """Steps: 4 an epoch."""
        hyperparameters = {"n_epochs": epochs, "batch_size": 8}
        method = methods.SupervisedMethod(type="supervised", supervised={"hyperparameters": hyperparameters})

        async def create(db: Database) -> str:
            async with db.transaction() as session:
                project = await projects.ensure(session, "default")
                wanted = given.request(await session.get_one(File, self.file.id), method=method, seed=7, retry=False)
                made, _ = await lifecycle.create(session, project, wanted, BUILT_IN)
                for name, value in columns.items():
                    setattr(made, name, value)
                return made.id

        return self.look(create)

    def cancel(self, job_id: str) -> None:
        async def cancel(db: Database) -> None:
            async with db.transaction() as session:
                await lifecycle.cancel(session, (await session.get_one(Job, job_id)).project_id, job_id)

        self.look(cancel)

    def row(self, job_id: str) -> Job:
        async def read(db: Database) -> Job:
            async with db.snapshot() as session:
                return await session.get_one(Job, job_id)

        return self.look(read)

    def waiting(self, job_id: str) -> Waiting | None:
        async def read(db: Database) -> Waiting | None:
            async with db.snapshot() as session:
                return await waiting.explain(session, self.settings, await session.get_one(Job, job_id))

        return self.look(read)

    def messages(self, job_id: str) -> list[str]:
        async def read(db: Database) -> list[str]:
            async with db.snapshot() as session:
                ordered = select(Event.message).where(Event.job_id == job_id).order_by(Event.seq)
                return list(await session.scalars(ordered))

        return self.look(read)

    def wait_for_message(self, job_id: str, beginning: str, seconds: float = 600) -> None:
        wait_for(lambda: any(each.startswith(beginning) for each in self.messages(job_id)), seconds, f"{beginning!r}")

    def wait_for_success(self, *job_ids: str, seconds: float = 600) -> None:
        for job_id in job_ids:
            wait_for(lambda job_id=job_id: self.row(job_id).status.is_terminal, seconds, f"the end of {job_id}")
            assert self.row(job_id).status == JobStatus.SUCCEEDED, "\n".join(self.messages(job_id))

    def worker(self, job_id: str) -> psutil.Process:
        """The `worker --once` that runs it."""
        _, pid, _ = str(self.row(job_id).owner).split(":")
        return psutil.Process(int(pid))

    def members(self, job_id: str) -> list[psutil.Process]:
        """What runs its ranks on other nodes."""
        own = "worker.ray.member"
        found = [each for each in psutil.process_iter(["cmdline"]) if own in (each.info["cmdline"] or ())]
        return [each for each in found if job_id in each.info["cmdline"]]

    def losses(self, job_id: str) -> list[float]:
        """Of each step."""

        async def read(db: Database) -> list[float]:
            async with db.snapshot() as session:
                of_job = select(Event.data).where(Event.job_id == job_id, Event.type == "metrics").order_by(Event.seq)
                return [data["train_loss"] for data in await session.scalars(of_job) if data]

        return self.look(read)

    def training(self, worker: psutil.Process) -> psutil.Process:
        """The child that trains: it leads a process group of its own."""
        return next(each for each in worker.children(recursive=True) if os.getpgid(each.pid) == each.pid)

    def kill_node_of(self, worker: psutil.Process) -> None:
        """As a machine that loses its power: every process of the node at once."""
        raylets = {node.all_processes["raylet"][0].process.pid: node for node in self.cluster.worker_nodes}
        node = next(raylets[parent.pid] for parent in worker.parents() if parent.pid in raylets)
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for process in [raylet, *raylet.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="package")
def house() -> Iterator[House]:
    folder = Path(tempfile.mkdtemp(prefix="fettle-ray-"))  # not pytest's: the paths of Ray's sockets must be short
    running = House(folder)
    yield running
    running.stop()
    shutil.rmtree(folder)

"""Many small jobs on a Ray cluster of three nodes while their processes and nodes are killed.

    python -m deploy.chaos --jobs 100 --kills 30

The cluster is that of tests/worker/ray: three nodes on this machine, without real GPUs. It ends with an error unless
every job succeeds and none is published twice.
"""

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
from sqlalchemy import select

from fettle.db import Database
from models import Event, Job, JobStatus, TunedModel
from tests.worker.ray.conftest import House

KINDS = ("training process", "worker", "node")
PAUSE_SECONDS = 5.0  # at most, between two kills
ATTEMPTS = "20"  # of a job without progress: chance may pick the same one many times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fettle-ray-"))
    os.environ["FETTLE_MAX_ATTEMPTS"] = ATTEMPTS  # for the executor and the nodes
    house = House(folder)
    try:
        run(house, given.jobs, given.kills, random.Random(given.seed))
    finally:
        house.stop()
        shutil.rmtree(folder)


def run(house: House, count: int, kills: int, chance: random.Random) -> None:
    began, done = time.monotonic(), Counter[str]()
    jobs = [house.job() for _ in range(count)]
    while True:
        rows = house.look(read_jobs)
        open_jobs = [row for row in rows if not row.status.is_terminal]
        print(f"{time.monotonic() - began:6.0f} s  {count - len(open_jobs)} ended  killed: {dict(done)}", flush=True)
        if not open_jobs:
            break
        running = [row for row in open_jobs if row.status == JobStatus.RUNNING]
        if running and done.total() < kills:
            kind = KINDS[done.total() % len(KINDS)]
            if kill(house, kind, chance.choice(running).id):
                done[kind] += 1
        time.sleep(chance.uniform(1, PAUSE_SECONDS))
    report(house, jobs, done)


def kill(house: House, kind: str, job_id: str) -> bool:
    """Whether there was something to kill."""
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, StopIteration):
        worker = house.worker(job_id)
        if kind == "training process":
            house.training(worker).kill()
        elif kind == "worker":
            worker.kill()
        else:
            house.kill_node_of(worker)
            house.staff()
        return True
    return False


def report(house: House, jobs: list[str], done: Counter[str]) -> None:
    rows = {row.id: row for row in house.look(read_jobs)}
    published = Counter(house.look(read_published))
    ends = Counter(house.look(read_ends))
    print(f"{Counter(str(row.status) for row in rows.values())}, {sum(row.attempts for row in rows.values())} attempts")
    if lost := [job_id for job_id in jobs if rows[job_id].status != JobStatus.SUCCEEDED]:
        sys.exit(f"These jobs did not succeed: {', '.join(lost)}")
    if twice := [job_id for job_id in jobs if published[job_id] != 1 or ends[job_id] != 1]:
        sys.exit(f"These jobs were not published exactly once: {', '.join(twice)}")
    print(f"{len(jobs)} succeeded, none twice, {done.total()} kills: {dict(done)}")


async def read_jobs(db: Database) -> list[Job]:
    async with db.snapshot() as session:
        return list(await session.scalars(select(Job)))


async def read_published(db: Database) -> list[str | None]:
    """The job of each tuned model."""
    async with db.snapshot() as session:
        return list(await session.scalars(select(TunedModel.job_id)))


async def read_ends(db: Database) -> list[str]:
    """The job of each event that tells of a success."""
    async with db.snapshot() as session:
        ended = Event.message == "The job has successfully completed"
        return list(await session.scalars(select(Event.job_id).where(ended)))


if __name__ == "__main__":
    main()

"""A slot that is a group: the supervisor's end of a job that two ranks train."""

import asyncio

import psutil
import pytest
from sqlalchemy import select

from fettle.host.devices import Slot
from fettle.jobs import leases
from models import Checkpoint, Event, Job, JobStatus
from worker.attempts.attempt import Attempt
from worker.attempts.resources import Resources
from worker.jobs.supervisor import supervise
from worker.jobs.training_process import ProcessLauncher

pytestmark = pytest.mark.slow

PAIR = Slot(ranks=2)  # two on the CPU, as no setting makes them
HYPERPARAMETERS = {  # 40 steps, so that there is time to kill after the first checkpoint
    "n_epochs": 8,
    "checkpoint_interval": 10,
    "batch_size": 2,
    "learning_rate_multiplier": 1.0,
    "learning_rate": 1e-3,
    "max_seq_length": 64,
    "lora": {"rank": 8, "alpha": 16, "dropout": 0.0},
}


@pytest.fixture
async def pair(attempt: Attempt) -> Attempt:
    async with attempt.resources.db.transaction() as session:
        row = await session.get_one(Job, attempt.job.id)
        row.method = {"type": "supervised", "supervised": {"hyperparameters": HYPERPARAMETERS}}
    async with attempt.resources.db.snapshot() as session:
        return Attempt(attempt.resources, await session.get_one(Job, attempt.job.id))


async def first_checkpoint(resources: Resources, run: "asyncio.Task[None]") -> None:
    while True:
        async with resources.db.snapshot() as session:
            if (await session.scalars(select(Checkpoint))).first() is not None:
                return
            messages = (await session.scalars(select(Event.message))).all()
            if run.done():
                raise AssertionError(messages)
        await asyncio.sleep(0.05)


def ranks_of(worker: psutil.Process) -> list[psutil.Process]:
    """Forks of the job's process, which is a fork of the fork server."""

    def is_fork(process: psutil.Process | None) -> bool:
        return process is not None and "forkserver" in " ".join(process.cmdline())

    def is_rank(process: psutil.Process) -> bool:
        parent = process.parent()
        return is_fork(process) and parent is not None and is_fork(parent.parent()) and process.children() == []

    return [process for process in worker.children(recursive=True) if is_rank(process)]


async def test_kill_9_of_one_rank_sends_the_job_back_and_the_next_attempt_succeeds(
    resources: Resources, pair: Attempt
) -> None:
    launcher = ProcessLauncher(warm=True)
    run = asyncio.create_task(supervise(pair, launcher, PAIR, asyncio.Event()))
    await asyncio.wait_for(first_checkpoint(resources, run), 150)
    ranks_of(psutil.Process())[-1].kill()
    await asyncio.wait_for(run, 30)
    async with resources.db.transaction() as session:
        row = await session.get_one(Job, pair.job.id)
        log = (await session.scalars(select(Event.message))).all()
        assert any("one of the processes that trained the job together died" in message for message in log)
        assert (row.status, row.attempts) == (JobStatus.QUEUED, 1)
        again = await leases.claim(session, "this worker", 60)
    assert again is not None
    await asyncio.wait_for(supervise(Attempt(resources, again), launcher, PAIR, asyncio.Event()), 200)
    async with resources.db.snapshot() as session:
        row = await session.get_one(Job, pair.job.id)
        messages = (await session.scalars(select(Event.message).where(Event.job_id == pair.job.id))).all()
    assert row.status == JobStatus.SUCCEEDED, messages
    assert any(message.startswith("Resuming after step") for message in messages)
    assert "Device: 2 × CPU, fp32, sdpa, gradient checkpointing off" in messages

"""Workers as the database knows them: each announces itself, renews its row, and removes it when it stops."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, String, cast, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import database_now
from fettle.jobs.placement import Offer
from models import Job, JobStatus, Worker

SILENT_HEARTBEATS = 3  # a worker that missed so many in a row no longer counts as alive
FORGOTTEN_SECONDS = 24 * 3600  # until then a worker that died is still listed, as not alive


@dataclass(frozen=True)
class Seen:
    """A worker with what it does now. busy: the job on each busy slot, by the slot's number; None: another tenant's."""

    worker: Worker
    alive: bool
    busy: dict[int, str | None]


def offers(worker: Worker) -> list[Offer]:
    """What each slot of the worker has to give."""
    count = len(worker.slots)
    gpus, memory = worker.gpus or [0] * count, worker.memory or [None] * count
    labels = frozenset(worker.labels or ())
    return [Offer(worker.host, gpus[slot], memory[slot], labels) for slot in range(count)]


@dataclass(frozen=True)
class Device:
    """What a job would run on. memory: bytes; None: not known. gpus: 0 on a CPU. cpu_bf16: larger base models train
    in bf16 on this CPU."""

    name: str
    memory: int | None
    gpus: int
    cpu_bf16: bool = False


async def smallest_device(session: AsyncSession, heartbeat_seconds: float) -> Device | None:
    """Of all slots that take jobs, the one with the least memory, and of these one that needs more of it: any of them
    may get the job. None: there is none."""
    found = []
    for each in await seen(session, heartbeat_seconds):
        if each.alive and not each.worker.stopping:
            sizes = each.worker.memory or [None] * len(each.worker.slots)
            for slot, size in zip(each.worker.slots, sizes, strict=False):
                gpus = slot.count(",") + 1 if slot.startswith("GPU") else 0
                found.append(Device(slot, size, gpus, bool(each.worker.cpu_bf16)))
    return min(found, key=lambda device: (device.memory is not None, device.memory or 0, device.cpu_bf16), default=None)


async def announce(session: AsyncSession, worker: Worker) -> None:
    """Writes the worker's row, with the database's clock. Removes the rows of workers that died long ago."""
    now = await session.scalar(select(database_now())) or 0.0
    worker.started_at = worker.seen_at = now
    await session.execute(delete(Worker).where(Worker.seen_at < now - FORGOTTEN_SECONDS))
    await session.merge(worker)


async def renew(session: AsyncSession, worker: Worker) -> None:
    """Says that the worker is alive; brings its row back if it was removed."""
    changed = await session.execute(
        update(Worker)
        .where(Worker.id == worker.id)
        .values(seen_at=database_now(), stopping=worker.stopping, sandbox=worker.sandbox)
    )
    if changed.rowcount == 0:  # type: ignore[attr-defined]  # an UPDATE's result has it
        await announce(session, worker)


async def remove(session: AsyncSession, worker_id: str) -> None:
    await session.execute(delete(Worker).where(Worker.id == worker_id))


def has_slots() -> ColumnElement[bool]:
    """Of a worker: an executor has none."""
    return cast(Worker.slots, String) != "[]"


def serving_hosts(heartbeat_seconds: float) -> Select[str]:
    """Hosts with a worker that is alive and takes jobs."""
    oldest = database_now() - SILENT_HEARTBEATS * heartbeat_seconds
    return select(Worker.host).where(Worker.stopping.is_(False), Worker.seen_at >= oldest)


async def seen(session: AsyncSession, heartbeat_seconds: float, project_id: str | None = None) -> Sequence[Seen]:
    """Every worker that the database knows, those that are alive first.

    project_id: whose jobs may be named; None: all.
    """
    now = await session.scalar(select(database_now())) or 0.0
    rows = (await session.scalars(select(Worker).order_by(Worker.host, Worker.id))).all()
    running = select(Job.owner, Job.id, Job.project_id).where(Job.status == JobStatus.RUNNING, Job.owner.is_not(None))
    owners = {
        owner: job_id if project_id in (None, whose) else None
        for owner, job_id, whose in (await session.execute(running)).all()
    }
    found = [
        Seen(
            worker=row,
            alive=now - row.seen_at <= SILENT_HEARTBEATS * heartbeat_seconds,
            busy={slot: owners[f"{row.id}:{slot}"] for slot in range(len(row.slots)) if f"{row.id}:{slot}" in owners},
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: not each.alive)

"""Why a queued job waits, and how many jobs stand before it."""

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.jobs import events, workers
from fettle.settings import Settings
from fettle.tenancy import quotas
from models import Job, JobStatus, Project

Reason = Literal["no_worker", "quota", "slots_busy", "adapter_elsewhere", "starting"]
LOOKED_AT = 1_000  # queued jobs, oldest first: what this page says of a queue must not grow with the queue


@dataclass(frozen=True)
class Waiting:
    """position: 1 starts next; None is behind the first thousand. message: the reason in words."""

    position: int | None
    reason: Reason
    message: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Queue:
    """What decides when a queued job starts. places: of the oldest queued jobs by id, from 1 on.

    queued: how many jobs wait in all.
    """

    places: Mapping[str, int]
    queued: int
    slots: int  # of workers that are alive and not stopping
    busy: int
    running: dict[str, int]  # jobs by project
    caps: dict[str, int | None]  # jobs that a project may run at once
    free: Mapping[str, int]  # slots by host

    def knows(self, job: Job) -> bool:
        """Whether the job was in the queue at this look, or is behind the first thousand."""
        return job.id in self.places or self.queued > LOOKED_AT

    def explain(self, job: Job) -> Waiting:
        position = self.places.get(job.id)
        running, cap = self.running.get(job.project_id, 0), self.caps.get(job.project_id)
        if self.slots == 0:
            return Waiting(position, "no_worker", "No worker is running. Start one with `fettle worker`.")
        if cap is not None and running >= cap:
            why = f"The project runs {many(running, 'job')}, and its quota 'running_jobs' allows {cap}."
            return Waiting(position, "quota", why)
        if self.busy >= self.slots:
            return Waiting(position, "slots_busy", busy_sentence(self.slots, position))
        if job.kept_by is not None and self.free.get(job.kept_by) == 0:
            why = "The worker that keeps the trained adapter is busy. It publishes the adapter when a slot is free."
            return Waiting(position, "adapter_elsewhere", why)
        return Waiting(position, "starting", "A slot is free. The job is about to start.")


def busy_sentence(slots: int, position: int | None) -> str:
    all_busy = "The only slot is busy." if slots == 1 else f"All {slots} slots are busy."
    if position is None:
        return f"{all_busy} More than {LOOKED_AT:,} jobs will start before this one."
    if position == 1:
        return f"{all_busy} This job starts next."
    return f"{all_busy} {many(position - 1, 'job')} will start before this one."


def many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


async def queue(session: AsyncSession, settings: Settings) -> Queue:
    alive = [each for each in await workers.seen(session, settings.heartbeat_seconds) if each.alive]
    serving = [each for each in alive if not each.worker.stopping]
    counted = select(Job.project_id, func.count()).where(Job.status == JobStatus.RUNNING).group_by(Job.project_id)
    running = dict((await session.execute(counted)).all())
    waiting = (
        await session.execute(
            select(Job.id, Job.project_id)
            .where(Job.status == JobStatus.QUEUED)
            .order_by(Job.created_at, Job.id)
            .limit(LOOKED_AT)
        )
    ).all()
    queued = select(func.count()).select_from(Job).where(Job.status == JobStatus.QUEUED)
    asking = select(Project).where(Project.id.in_({project_id for _, project_id in waiting}))
    defaults = {"running_jobs": settings.quota_running_jobs}
    caps = {project.id: quotas.limits(project, defaults)["running_jobs"] for project in await session.scalars(asking)}
    free: dict[str, int] = defaultdict(int)
    for each in serving:
        free[each.worker.host] += len(each.worker.slots) - len(each.busy)
    return Queue(
        places={job_id: place for place, job_id in enumerate(claim_order(waiting, running), 1)},
        queued=await session.scalar(queued) or 0,
        slots=sum(len(each.worker.slots) for each in serving),
        busy=sum(len(each.busy) for each in serving),
        running=running,
        caps=caps,
        free=free,
    )


def claim_order(waiting: Iterable[tuple[str, str]], running: Mapping[str, int]) -> list[str]:
    """Job ids as `leases.claim` takes them if no job ends: the oldest of the project that runs fewest comes first.

    waiting: (job id, project id), oldest first.
    """
    lines: dict[str, deque[tuple[int, str]]] = {}
    for age, (job_id, project_id) in enumerate(waiting):
        lines.setdefault(project_id, deque()).append((age, job_id))
    heap = [(running.get(project_id, 0), line[0][0], project_id) for project_id, line in lines.items()]
    heapq.heapify(heap)
    order = []
    while heap:
        count, _, project_id = heapq.heappop(heap)
        line = lines[project_id]
        order.append(line.popleft()[1])
        if line:
            heapq.heappush(heap, (count + 1, line[0][0], project_id))
    return order


async def explain(session: AsyncSession, settings: Settings, job: Job) -> Waiting | None:
    """Why this one waits; None when it does not."""
    return (await queue(session, settings)).explain(job) if job.status == JobStatus.QUEUED else None


async def note_changes(session: AsyncSession, settings: Settings) -> None:
    """Adds an event to each queued job that waits for another reason than its last event said."""
    statement = select(Job).where(Job.status == JobStatus.QUEUED).order_by(Job.created_at, Job.id).limit(LOOKED_AT)
    queued = (await session.scalars(statement.with_for_update(skip_locked=True))).all()
    if not queued:
        return
    now = await queue(session, settings)
    for job in queued:
        found = now.explain(job)
        if found.reason in ("starting", job.wait_reason):
            continue
        job.wait_reason = found.reason
        level: events.Level = "warn" if found.reason == "no_worker" else "info"
        events.add(session, job.id, f"Waiting to start. {found.message}", level=level, data=found.to_json())

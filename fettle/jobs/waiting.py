"""Why a queued job waits, and how many jobs will start before it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.estimates.forecast import Interval
from fettle.jobs import candidates, events, placement, queue_time, workers
from fettle.jobs.placement import Need, Offer
from fettle.jobs.queue_time import Start
from fettle.settings import Settings
from fettle.tenancy import quotas
from models import Job, JobStatus, Project

Reason = Literal[
    "no_worker", "no_fitting_worker", "quota", "slots_busy", "adapter_elsewhere", "waiting_for_ray", "starting"
]


@dataclass(frozen=True)
class Waiting:
    """position: 1 starts next; None: behind those that were looked at. message: the reason in words.

    estimated_start: seconds since 1970, with the earliest and the latest that the estimates allow; None: not known.
    """

    position: int | None
    reason: Reason
    message: str
    estimated_start: dict[str, int] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Queue:
    """What decides when a queued job starts. places: by job id, from 1 on, in the order of `placement`.

    queued: how many jobs wait in all.
    """

    places: Mapping[str, int]
    queued: int
    slots: Sequence[Offer]  # of workers that are alive and not stopping
    free: Sequence[Offer]
    running: Mapping[str, int]  # jobs by project
    caps: Mapping[str, int | None]  # jobs that a project may run at once
    spent: Mapping[str, int]  # GPU-hours that a project may use, of those that have used them up
    takes: Sequence[Interval | None]  # of the waiting jobs, in their order
    left: Sequence[Interval | None]  # of the running jobs
    on_ray: bool = False  # a Ray cluster finds the place for each job

    def knows(self, job: Job) -> bool:
        """Whether the job was in the queue at this look, or is behind those that were looked at."""
        return job.id in self.places or self.queued > len(self.places)

    def start_of_new_job(self) -> Start:
        """When a job would start that came now: behind all others."""
        if self.on_ray:
            return Start(None, "Ray finds a place for this job, so its start cannot be foreseen.")
        if not self.slots:
            return Start(None, "No worker is running, so the job would wait. Start one with `fettle worker`.")
        return queue_time.start(len(self.slots), self.left, self.takes, behind=self.queued - len(self.takes))

    @cached_property
    def starts(self) -> Sequence[Interval]:
        """Seconds until each place starts."""
        return queue_time.starts(len(self.slots), self.left, self.takes)

    def explain(self, job: Job) -> Waiting:
        found = self.reason(job)
        if found.reason != "slots_busy" or found.position is None or found.position > len(self.starts):
            return found
        start, now = self.starts[found.position - 1], time.time()
        moments = {"likely": start.likely, "earliest": start.low, "latest": start.high}
        return replace(found, estimated_start={name: int(now + seconds) for name, seconds in moments.items()})

    def reason(self, job: Job) -> Waiting:
        position, need = self.places.get(job.id), candidates.need_of(job.resources)
        running, cap = self.running.get(job.project_id, 0), self.caps.get(job.project_id)
        fitting = [offer for offer in self.slots if placement.lacks(need, offer) is None]
        free = [offer for offer in self.free if placement.lacks(need, offer) is None]
        if not self.slots and not self.on_ray:
            return Waiting(position, "no_worker", "No worker is running. Start one with `fettle worker`.")
        if not self.on_ray and (miss := placement.nearest_miss(need, self.slots)) is not None:
            why = f"No worker can run this job. On the slot that comes closest, {miss}."
            return Waiting(position, "no_fitting_worker", why)
        if cap is not None and running >= cap:
            why = f"The project runs {many(running, 'job')}, and its quota 'running_jobs' allows {cap}."
            return Waiting(position, "quota", why)
        if (hours := self.spent.get(job.project_id)) is not None:
            why = f"The project has used the {many(hours, 'GPU-hour')} that its quota 'gpu_hours' allows in 30 days."
            return Waiting(position, "quota", why)
        if self.on_ray:
            return Waiting(position, "waiting_for_ray", ray_sentence(need, position))
        if not free:
            return Waiting(position, "slots_busy", busy_sentence(len(fitting), len(self.slots), position))
        if job.kept_by is not None and job.kept_by not in {offer.host for offer in free}:
            why = "The worker that keeps the trained adapter is busy. It publishes the adapter when a slot is free."
            return Waiting(position, "adapter_elsewhere", why)
        return Waiting(position, "starting", "A slot is free. The job is about to start.")


def busy_sentence(fitting: int, slots: int, position: int | None) -> str:
    """fitting: slots that can run the job, of all."""
    if fitting < slots:
        busy = f"{'The only slot' if fitting == 1 else f'All {fitting} slots'} that can run it "
        busy += f"{'is' if fitting == 1 else 'are'} busy."
    else:
        busy = "The only slot is busy." if slots == 1 else f"All {slots} slots are busy."
    if position is None:
        return f"{busy} More than {candidates.OF_A_PROJECT} jobs wait before this one."
    if position == 1:
        return f"{busy} This job starts next."
    return f"{busy} {many(position - 1, 'job')} will start before this one."


def ray_sentence(need: Need, position: int | None) -> str:
    waits = (
        f"Waiting for Ray to reserve {many(need.gpus, 'GPU')}." if need.gpus else "Waiting for Ray to reserve a place."
    )
    return waits if position in (None, 1) else f"{waits} {many(position - 1, 'job')} will start before this one."


def many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


async def queue(session: AsyncSession, settings: Settings) -> Queue:
    alive = [each for each in await workers.seen(session, settings.heartbeat_seconds) if each.alive]
    serving = [each for each in alive if not each.worker.stopping]
    counted = select(Job.project_id, func.count()).where(Job.status == JobStatus.RUNNING).group_by(Job.project_id)
    running = dict((await session.execute(counted)).all())
    line = await candidates.line(session)
    queued = select(func.count()).select_from(Job).where(Job.status == JobStatus.QUEUED)
    asking = select(Project).where(Project.id.in_({each.project_id for each in line.waiting}))
    projects, defaults = (await session.scalars(asking)).all(), quotas.defaults(settings)
    caps = {project.id: quotas.limits(project, defaults)["running_jobs"] for project in projects}
    offers = [(workers.offers(each.worker), each.busy) for each in serving]
    return Queue(
        places={each.id: place for place, each in enumerate(line.waiting, 1)},
        queued=await session.scalar(queued) or 0,
        slots=[offer for found, _ in offers for offer in found],
        free=[offer for found, busy in offers for slot, offer in enumerate(found) if slot not in busy],
        running=running,
        caps=caps,
        spent=await quotas.spent(session, projects, defaults),
        takes=[line.takes[each.id] for each in line.waiting],
        left=line.left,
        on_ray=any(not found for found, _ in offers),
    )


async def explain(session: AsyncSession, settings: Settings, job: Job) -> Waiting | None:
    """Why this one waits; None when it does not."""
    return (await queue(session, settings)).explain(job) if job.status == JobStatus.QUEUED else None


async def note_changes(session: AsyncSession, settings: Settings) -> None:
    """Adds an event to each queued job that waits for another reason than its last event said."""
    statement = (
        select(Job).where(Job.status == JobStatus.QUEUED).order_by(Job.created_at, Job.id).limit(candidates.LOOKED_AT)
    )
    queued = (await session.scalars(statement.with_for_update(skip_locked=True))).all()
    if not queued:
        return
    now = await queue(session, settings)
    for job in queued:
        found = now.explain(job)
        if found.reason in ("starting", job.wait_reason):
            continue
        job.wait_reason = found.reason
        level: events.Level = "warn" if found.reason in ("no_worker", "no_fitting_worker") else "info"
        events.add(session, job.id, f"Waiting to start. {found.message}", level=level, data=found.to_json())

"""When a job that is created now would start: the slots and the queue as they are, and what each job will take."""

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, cast, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.estimates.measurements import median
from fettle.jobs import waiting
from fettle.settings import Settings
from fettle.wording import quantity
from models import Job, JobStatus

NEWEST = 50  # ended jobs whose median stands in for one that has no estimate


@dataclass(frozen=True)
class Start:
    """seconds: until the job starts; None: not known. message: why."""

    seconds: float | None
    message: str

    def to_json(self) -> dict[str, Any]:
        return {"seconds": None if self.seconds is None else round(self.seconds, 1), "message": self.message}


async def of_new_job(session: AsyncSession, settings: Settings, project_id: str) -> Start:
    queue = await waiting.queue(session, settings)
    if queue.slots == 0:
        return Start(None, "No worker is running, so the job would wait. Start one with `fettle worker`.")
    columns = (Job.id, Job.estimated_finish, Job.estimate)
    active = Job.status == JobStatus.RUNNING
    running = (await session.execute(select(*columns).where(active).limit(waiting.LOOKED_AT))).all()
    queued = (await session.execute(select(*columns).where(Job.id.in_(list(queue.places))))).all()
    usual = await usual_seconds(session)
    left = [remaining(finish, estimate, usual) for _, finish, estimate in running]
    order = sorted(queued, key=lambda row: queue.places[row[0]])
    ahead = [remaining(None, estimate, usual) for _, _, estimate in order]
    return start(queue.slots, left, ahead, behind=queue.queued - len(ahead))


def remaining(finish: float | None, estimate: dict[str, Any] | None, usual: float | None) -> float | None:
    if finish is not None:
        return max(0.0, finish - time.time())
    seconds = (estimate or {}).get("seconds")
    return float(seconds["likely"]) if seconds else usual


async def usual_seconds(session: AsyncSession) -> float | None:
    measured = (Job.status == JobStatus.SUCCEEDED, Job.measured.is_not(None), cast(Job.measured, String) != "null")
    newest = select(Job.measured).where(*measured).order_by(Job.created_at.desc()).limit(NEWEST)
    return median(float(each["seconds"]) for each in await session.scalars(newest) if each)


def start(slots: int, running: Sequence[float | None], ahead: Sequence[float | None], behind: int = 0) -> Start:
    """running: seconds that each still takes. ahead: seconds that each queued job will take, in their order.

    behind: queued jobs that were not looked at.
    """
    if len(running) < slots and not ahead and not behind:
        return Start(0.0, "A slot is free. The job would start at once.")
    jobs = f"{quantity(len(running), 'job')} running and {len(ahead) + behind} waiting"
    if behind:
        return Start(None, f"With {jobs} before it, the start of this job cannot be foreseen.")
    if any(each is None for each in (*running, *ahead)):
        return Start(None, f"There are {jobs}, and no job has finished yet to tell how long they take.")
    known = sorted(float(each or 0) for each in running)[-slots:]
    free = [0.0] * (slots - len(known)) + known
    heapq.heapify(free)
    for each in ahead:
        heapq.heapreplace(free, free[0] + float(each or 0))
    return Start(
        free[0], f"There are {jobs}, on {quantity(slots, 'slot')}. This assumes that they take what was estimated."
    )

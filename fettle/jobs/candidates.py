"""The queue as rows: which jobs may start next, how long each is expected to take, and what projects have used."""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.estimates.measurements import median
from fettle.jobs import placement, runs
from fettle.jobs.placement import Candidate
from models import Job, JobStatus

OF_A_PROJECT = 100  # its first queued jobs: one project's thousands must not hide another's first
LOOKED_AT = 1_000  # queued jobs in all: a look at the queue must not grow with the queue
NEWEST = 50  # ended jobs whose median stands in for one that has no estimate


@dataclass(frozen=True)
class Line:
    """waiting: in the order in which they start. usual: seconds of a job that has no estimate; None: not known."""

    waiting: list[Candidate]
    left: dict[str, float | None]  # seconds that each running job still takes
    usual: float | None


async def line(session: AsyncSession) -> Line:
    usual = await usual_seconds(session)
    left = await seconds_left(session, usual)
    used = await runs.used(session, {job_id: seconds for job_id, seconds in left.items() if seconds is not None})
    return Line(placement.order(await first(session, usual), used, time.time()), left, usual)


async def first(session: AsyncSession, usual: float | None) -> list[Candidate]:
    """Of each project the jobs of the highest priority, the oldest first."""
    place = func.row_number().over(partition_by=Job.project_id, order_by=(Job.priority.desc(), Job.created_at, Job.id))
    ranked = select(Job.id, place.label("place")).where(Job.status == JobStatus.QUEUED).subquery()
    columns = (Job.id, Job.project_id, Job.created_at, Job.priority, Job.resources, Job.estimate, Job.kept_by)
    rows = select(*columns).join(ranked, ranked.c.id == Job.id).where(ranked.c.place <= OF_A_PROJECT)
    rows = rows.order_by(ranked.c.place, Job.created_at, Job.id).limit(LOOKED_AT)
    return [
        Candidate(
            id=job.id,
            project_id=job.project_id,
            created_at=job.created_at,
            seconds=expected(job.estimate, usual),
            priority=job.priority,
            need=runs.need_of(job.resources),
            kept_by=job.kept_by,
        )
        for job in (await session.execute(rows)).all()
    ]


def expected(estimate: dict[str, Any] | None, usual: float | None) -> float | None:
    """Seconds that a job takes from its start."""
    seconds = (estimate or {}).get("seconds")
    return float(seconds["likely"]) if seconds else usual


async def seconds_left(session: AsyncSession, usual: float | None) -> dict[str, float | None]:
    """That each running job still takes, by its id; None: not known."""
    columns = (Job.id, Job.estimated_finish, Job.estimate)
    active = select(*columns).where(Job.status == JobStatus.RUNNING).limit(runs.RUNNING_AT_MOST)
    return {
        job_id: expected(estimate, usual) if finish is None else max(0.0, finish - time.time())
        for job_id, finish, estimate in (await session.execute(active)).all()
    }


async def usual_seconds(session: AsyncSession) -> float | None:
    measured = (Job.status == JobStatus.SUCCEEDED, Job.measured.is_not(None), cast(Job.measured, String) != "null")
    newest = select(Job.measured).where(*measured).order_by(Job.created_at.desc()).limit(NEWEST)
    return median(float(each["seconds"]) for each in await session.scalars(newest) if each)

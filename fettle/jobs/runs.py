"""Runs: which job held a slot, and for how long. They say what a project has used, for its turn in the queue."""

from collections import defaultdict
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import database_now
from fettle.jobs.placement import LEAST_SECONDS, Need
from models import Job, JobStatus, Run

WINDOW = 3600.0  # seconds of the past that count for a project's turn
RUNNING_AT_MOST = 1_000  # running jobs whose rest is looked at


def need_of(resources: dict[str, Any] | None) -> Need:
    asked = resources or {}
    return Need(asked.get("gpus"), asked.get("gpu_memory_gib"), frozenset(asked.get("labels") or ()))


def begin(session: AsyncSession, job: Job, owner: str, gpus: int, now: float) -> None:
    session.add(Run(job_id=job.id, fence=job.fence, project_id=job.project_id, owner=owner, gpus=gpus, started_at=now))


async def close(session: AsyncSession) -> None:
    """Ends the runs whose job no longer holds its slot, however that came about."""
    holds = and_(Job.id == Run.job_id, Job.fence == Run.fence, Job.status == JobStatus.RUNNING)
    over = select(Run.job_id, Run.fence).where(Run.ended_at.is_(None), ~select(Job.id).where(holds).exists())
    rows = (await session.execute(over.order_by(Run.job_id, Run.fence).with_for_update(skip_locked=True))).all()
    for job_id, fence in rows:
        this = update(Run).where(Run.job_id == job_id, Run.fence == fence)
        await session.execute(this.values(ended_at=database_now()).execution_options(synchronize_session=False))


def seconds_since(start: ColumnElement[float]) -> ColumnElement[float]:
    """How long a run held its slot after `start`."""
    began = case((Run.started_at < start, start), else_=Run.started_at)
    return func.coalesce(Run.ended_at, database_now()) - began


async def used(session: AsyncSession, expected: dict[str, float]) -> dict[str, float]:
    """Slot-seconds by project: of the last hour, and what its running jobs are still expected to take.

    expected: seconds that each running job still takes, by its id.
    """
    start = database_now() - WINDOW
    gpus = case((Run.gpus > 1, Run.gpus), else_=1)
    lately = (
        select(Run.project_id, func.sum(seconds_since(start) * gpus))
        .where(or_(Run.ended_at.is_(None), Run.ended_at > start))
        .group_by(Run.project_id)
    )
    found: dict[str, float] = defaultdict(float, (await session.execute(lately)).all())
    running = select(Job.id, Job.project_id).where(Job.status == JobStatus.RUNNING).limit(RUNNING_AT_MOST)
    for job_id, project_id in (await session.execute(running)).all():
        found[project_id] += min(WINDOW, max(LEAST_SECONDS, expected.get(job_id, LEAST_SECONDS)))
    return found

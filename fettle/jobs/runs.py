"""Runs: which job held a slot, and for how long. They say what a project has used, for its turn in the queue."""

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import database_now
from fettle.jobs.placement import WINDOW
from fettle.tenancy import gpu_time
from models import Job, JobStatus, Run


def begin(session: AsyncSession, job: Job, owner: str, gpus: int, now: float) -> None:
    session.add(Run(job_id=job.id, fence=job.fence, project_id=job.project_id, owner=owner, gpus=gpus, started_at=now))


async def end(session: AsyncSession, job_id: str, fence: int, at: float | ColumnElement[float]) -> None:
    this = update(Run).where(Run.job_id == job_id, Run.fence == fence, Run.ended_at.is_(None))
    ended = case((Run.started_at > at, Run.started_at), else_=at)
    await session.execute(this.values(ended_at=ended).execution_options(synchronize_session=False))


async def close(session: AsyncSession) -> None:
    """Ends the runs whose job no longer holds its slot, however that came about: at the latest when the next starts."""
    held = and_(Job.fence == Run.fence, Job.status == JobStatus.RUNNING)
    over = select(Run.job_id, Run.fence, Job.finished_at).join(Job).where(Run.ended_at.is_(None), ~held)
    rows = await session.execute(over.order_by(Run.job_id, Run.fence).with_for_update(of=Run, skip_locked=True))
    for job_id, fence, finished_at in rows.all():
        await end(session, job_id, fence, finished_at or database_now())


async def used(session: AsyncSession) -> dict[str, float]:
    """GPU-seconds of the last hour by project."""
    start = database_now() - WINDOW
    lately = select(Run.project_id, func.sum(gpu_time.gpu_seconds(start))).where(gpu_time.after(start))
    return dict((await session.execute(lately.group_by(Run.project_id))).all())

"""Time limits: a job that has run too long fails, and the jobs of a project that has used up its GPU-hours pause."""

import time
from collections.abc import Iterator

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.jobs import events, leases
from fettle.jobs.candidates import LOOKED_AT
from fettle.tenancy import gpu_time, quotas
from models import Job, JobStatus, Project, Run

REACHED = "time_limit_reached"  # the error's code
WAY_OUT = "Its checkpoints stay, and a new job can start from the last one."


async def enforce(session: AsyncSession, defaults: quotas.Limits) -> list[str]:
    """The ids of the running jobs that fail or pause for it now."""
    statement = select(Job.id, Job.project_id, Job.limits, Job.pause_requested_at).where(
        Job.status == JobStatus.RUNNING
    )
    running = (await session.execute(statement.limit(LOOKED_AT))).all()
    if not running:
        return []
    asking = select(Project).where(Project.id.in_({row.project_id for row in running}))
    projects = {project.id: project for project in await session.scalars(asking)}
    spent = await quotas.spent(session, projects.values(), defaults)
    held = await time_held(session, [row.id for row in running])
    found = []
    for row in running:
        hours, gpu_hours = held.get(row.id, (0.0, 0.0))
        longest = quotas.limits(projects[row.project_id], defaults)["job_hours"]
        why = next(excesses(row.limits or {}, longest, hours, gpu_hours), None)
        if why is None and (row.project_id not in spent or row.pause_requested_at is not None):
            continue
        free = select(Job).where(Job.id == row.id, Job.status == JobStatus.RUNNING).with_for_update(skip_locked=True)
        if (job := await session.scalar(free)) is None:
            continue
        found.append(job.id)
        if why is not None:
            leases.fail(session, job, REACHED, f"{why} {WAY_OUT}")
        else:
            pause(session, job, spent[job.project_id])
    return found


def pause(session: AsyncSession, job: Job, limit: int) -> None:
    job.pause_requested_at = time.time()
    why = f"The project has used the {limit:,} GPU-hours that its quota 'gpu_hours' allows in 30 days."
    events.add(session, job.id, f"{why} The job will save a checkpoint and pause.", level="warn")


async def time_held(session: AsyncSession, job_ids: list[str]) -> dict[str, tuple[float, float]]:
    """Hours and GPU-hours of all runs of each job."""
    sums = select(Run.job_id, func.sum(gpu_time.seconds()), func.sum(gpu_time.gpu_seconds()))
    rows = await session.execute(sums.where(Run.job_id.in_(job_ids)).group_by(Run.job_id))
    return {job_id: (seconds / gpu_time.HOUR, gpu / gpu_time.HOUR) for job_id, seconds, gpu in rows.all()}


def excesses(limits: dict[str, float], longest: int | None, hours: float, gpu_hours: float) -> Iterator[str]:
    """limits: the job's own. longest: hours that its project lets a job run."""
    if (own := limits.get("hours")) is not None and hours >= own:
        yield f"The job has run for the {own:g} h that its limit 'hours' allows."
    if (own := limits.get("gpu_hours")) is not None and gpu_hours >= own:
        yield f"The job has used the {own:g} GPU-hours that its limit 'gpu_hours' allows."
    if longest is not None and hours >= longest:
        yield f"The job has run for the {longest:,} h that its project's quota 'job_hours' allows."

"""The jobs that start next, for whoever looks for their places elsewhere: a cluster, and not a worker's slot."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.jobs import candidates
from fettle.jobs.placement import Candidate
from fettle.tenancy import quotas
from models import Job, JobStatus


@dataclass(frozen=True)
class State:
    """Where a job stands: fence is that of its newest claim, or moved on since."""

    status: JobStatus
    fence: int


async def first(session: AsyncSession, defaults: quotas.Limits, count: int) -> list[Candidate]:
    """The first `count` of the queue that their projects' quotas let start together, in their order."""
    queued = (await candidates.line(session)).waiting
    left = await quotas.room(session, {each.project_id for each in queued}, defaults)
    found: list[Candidate] = []
    for each in queued:
        if len(found) == count:
            break
        if left.get(each.project_id, 1) > 0:
            found.append(each)
            if each.project_id in left:
                left[each.project_id] -= 1
    return found


async def states(session: AsyncSession, job_ids: Collection[str]) -> dict[str, State]:
    """Of the jobs that there are."""
    rows = await session.execute(select(Job.id, Job.status, Job.fence).where(Job.id.in_(job_ids)))
    return {job_id: State(status, fence) for job_id, status, fence in rows.all()}

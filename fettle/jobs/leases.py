"""Leases: which worker may run a job, and until when.

Claiming a job moves its fence on by one. Every later write of that worker names the fence; a worker whose lease was
taken over, or whose job was cancelled, finds that its fence is old and can write nothing more. (Kleppmann 2016, "How
to do distributed locking"; the clock is the database's.)
"""

import time
from collections.abc import Sequence

from sqlalchemy import case, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import database_now
from fettle.errors import Fenced
from fettle.jobs import candidates, events, runs, states, workers
from fettle.jobs.placement import Offer
from fettle.tenancy import quotas
from fettle.webhooks import events as webhooks
from models import WORKER_LOST, Job, JobStatus, Worker

ANY_SLOT = Offer()
PREEMPTED = "A job of a higher priority needed the slot"  # never which one: it may be another tenant's


async def claim(
    session: AsyncSession,
    owner: str,
    lease_seconds: float,
    defaults: quotas.Limits = quotas.UNLIMITED,
    *,
    offer: Offer = ANY_SLOT,
    heartbeat_seconds: float = 10,
    job_id: str | None = None,
) -> Job | None:
    """The first job of the queue that the slot can run, now running and leased to `owner`; None when there is none.

    defaults: the quotas of projects that say nothing else. A job whose adapter lies on another host's disk waits for a
    worker there, as long as one is alive. job_id: only this one.
    """
    if await session.scalar(select(Job.id).where(Job.status == JobStatus.QUEUED).limit(1)) is None:
        return None  # what an idle worker finds all day
    await runs.close(session)
    elsewhere = workers.serving_hosts(heartbeat_seconds).where(
        Worker.host != offer.host if offer.host else true(), workers.has_slots()
    )
    here = or_(Job.kept_by.is_(None), Job.kept_by.not_in(elsewhere))
    only = Job.id == job_id if job_id else true()
    queued = (await candidates.line(session, here, only, await candidates.fits(session, offer))).waiting
    full = await quotas.full(session, {each.project_id for each in queued}, defaults)
    for each in queued:
        if each.project_id not in full and (job := await take(session, each.id, owner, lease_seconds, offer)):
            return job
    return None


async def take(session: AsyncSession, job_id: str, owner: str, lease_seconds: float, offer: Offer) -> Job | None:
    """None when another worker was faster, or the job no longer waits."""
    free = select(Job.id).where(Job.id == job_id, Job.status == JobStatus.QUEUED).with_for_update(skip_locked=True)
    if await session.scalar(free) is None:
        return None
    claimed = (
        states.moving(JobStatus.RUNNING)
        .where(Job.id == job_id)
        .values(
            fence=Job.fence + 1,
            attempts=Job.attempts + 1,
            owner=owner,
            kept_by=case((Job.kept_by == offer.host, Job.kept_by), else_=None),  # nobody else has its adapter
            lease_until=database_now() + lease_seconds,
        )
        .returning(Job, database_now())
    )
    found = (await session.execute(claimed)).one_or_none()
    if found is None:
        return None
    job, now = found
    runs.begin(session, job, owner, offer.gpus, now)
    seconds = (job.estimate or {}).get("seconds")
    if seconds and job.attempts == 1:
        job.estimated_finish = time.time() + seconds["likely"]  # until its own pace is known
    again = f" (attempt {job.attempts})" if job.attempts > 1 else ""
    events.add(session, job.id, f"Fine-tuning job started{again}")
    return job


async def hold(session: AsyncSession, job_id: str, fence: int) -> Job:
    """The job, locked until this transaction ends: every write of a worker begins here. Raises Fenced."""
    statement = select(Job).where(Job.id == job_id, Job.fence == fence, Job.status == JobStatus.RUNNING)
    job = await session.scalar(statement.with_for_update())
    if job is None:
        raise Fenced(job_id)
    return job


async def check(session: AsyncSession, job_id: str, fence: int) -> bool:
    """Whether the job must stop at its next boundary: paused, or making room. Reads only. Raises Fenced."""
    statement = select(Job.pause_requested_at, Job.preempted_for).where(
        Job.id == job_id, Job.fence == fence, Job.status == JobStatus.RUNNING
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise Fenced(job_id)
    return row.pause_requested_at is not None or row.preempted_for is not None


async def renew(session: AsyncSession, job_id: str, fence: int, lease_seconds: float) -> None:
    """Raises Fenced."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.fence == fence, Job.status == JobStatus.RUNNING)
        .values(lease_until=database_now() + lease_seconds)
        .execution_options(synchronize_session=False)
    )
    if (await session.execute(statement)).rowcount == 0:  # type: ignore[attr-defined]  # an UPDATE's result has it
        raise Fenced(job_id)


def release(session: AsyncSession, job: Job, why: str, *, max_attempts: int, counted: bool = True) -> None:
    """Back to the queue, paused if that was asked for, or failed as `worker_lost` when it was lost too often.

    `job` is held by this transaction. counted: a death, which uses up an attempt, and not a planned stop.
    """
    if job.preempted_for is not None and not counted:
        why = PREEMPTED
    job.owner = job.lease_until = job.preempted_for = None
    job.fence += 1  # whoever ran it can write no more, even if it is still alive
    if counted:
        job.deaths += 1
    else:
        job.attempts -= 1
    if job.deaths >= max_attempts:
        tries = f"{job.deaths} attempt{'s' if job.deaths > 1 else ''}"
        fail(session, job, WORKER_LOST, f"{why}. The job failed after {tries} without progress.")
    elif job.pause_requested_at is None:
        states.move(job, JobStatus.QUEUED)
        events.add(session, job.id, f"{why}. The job will continue from its last checkpoint.", level="warn")
    else:
        states.move(job, JobStatus.PAUSED)
        job.pause_requested_at = job.estimated_finish = None
        if counted:
            events.add(session, job.id, why, level="warn")
        events.add(session, job.id, "Fine-tuning job paused")


def fail(session: AsyncSession, job: Job, code: str, message: str, param: str | None = None) -> None:
    states.move(job, JobStatus.FAILED)
    job.finished_at = time.time()
    job.lease_until = job.pause_requested_at = job.preempted_for = None
    job.error = {"code": code, "message": message, "param": param}
    events.add(session, job.id, message, level="error", data={"code": code})
    webhooks.add(session, job.project_id, "fine_tuning.job.failed", job.id)


async def reclaim_expired(session: AsyncSession, max_attempts: int) -> Sequence[str]:
    """Takes jobs from workers that stopped responding; returns their ids."""
    statement = (
        select(Job)
        .where(Job.status == JobStatus.RUNNING, Job.lease_until < database_now())
        .with_for_update(skip_locked=True)
    )
    lost = (await session.scalars(statement)).all()
    for job in lost:
        await runs.end(session, job.id, job.fence, job.lease_until or 0.0)
        release(session, job, "The worker stopped responding", max_attempts=max_attempts)
    return [job.id for job in lost]

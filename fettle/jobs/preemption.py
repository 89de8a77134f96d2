"""Preemption: a job of a higher priority that finds no slot asks one of a lower priority to make room.

The job that makes room saves a checkpoint at its next boundary, goes back to the queue and continues later from there.
It costs no attempt. A job whose class has risen by waiting is interrupted only by a priority above that class, so that
it is not sent back as soon as its turn has come.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import lock
from fettle.jobs import candidates, events, placement, workers
from fettle.jobs.placement import Candidate, Offer
from fettle.settings import Settings
from fettle.tenancy import quotas
from models import Job, JobStatus, Run

PATIENCE = 10.0  # seconds that a job waits for a free slot before it asks for one
ASKED_AT_ONCE = 8  # jobs that may ask for room in one round
ASKED = "A job of a higher priority needs this slot. This job will save a checkpoint and return to the queue."


@dataclass(frozen=True)
class Holder:
    """A running job that can make room, and the slot that it holds. rank: its class now, with its age."""

    id: str
    rank: int
    started_at: float
    offer: Offer


async def make_room(session: AsyncSession, settings: Settings) -> list[str]:
    """Asks one running job for each waiting job that has a claim to its slot; the ids of those that were asked."""
    top = select(func.max(Job.priority)).where(Job.status == JobStatus.QUEUED)
    lowest = select(func.min(Job.priority)).where(Job.status == JobStatus.RUNNING)
    highest, least = await session.scalar(top), await session.scalar(lowest)
    if highest is None or least is None or highest <= least:
        return []
    await lock(session, "preemption")  # or two workers would ask two jobs to make room for one
    wanted = select(Job.preempted_for).where(Job.status == JobStatus.RUNNING, Job.preempted_for.is_not(None))
    served = set(await session.scalars(wanted))
    now = time.time()
    waiting = [
        each
        for each in (await candidates.line(session)).waiting
        if each.priority > least and each.id not in served and now - each.created_at >= PATIENCE
    ]
    full = await quotas.full(session, {each.project_id for each in waiting}, quotas.defaults(settings))
    holders, free = await slots(session, settings, now)
    asked = []
    for each in [each for each in waiting if each.project_id not in full][:ASKED_AT_ONCE]:
        if (unused := next((offer for offer in free if placement.lacks(each.need, offer) is None), None)) is not None:
            free.remove(unused)  # it is about to start there
        elif (holder := choose(each, holders)) is not None:
            holders.remove(holder)
            if await ask(session, holder.id, each.id):
                asked.append(holder.id)
    return asked


def choose(wanted: Candidate, holders: Sequence[Holder]) -> Holder | None:
    """Of the lowest class the one that began last: it has the least to lose."""
    able = [
        each for each in holders if each.rank < wanted.priority and placement.lacks(wanted.need, each.offer) is None
    ]
    return min(able, key=lambda each: (each.rank, -each.started_at), default=None)


async def slots(session: AsyncSession, settings: Settings, now: float) -> tuple[list[Holder], list[Offer]]:
    """The jobs that could make room, and the slots that are free."""
    offers: dict[str, Offer] = {}
    for seen in await workers.seen(session, settings.heartbeat_seconds):
        if seen.alive and not seen.worker.stopping:
            offers |= {f"{seen.worker.id}:{slot}": offer for slot, offer in enumerate(workers.offers(seen.worker))}
    columns = (
        Job.id,
        Job.priority,
        Job.created_at,
        Job.owner,
        Job.pause_requested_at,
        Job.preempted_for,
        Run.started_at,
    )
    running = select(*columns).join(Run, (Run.job_id == Job.id) & (Run.fence == Job.fence))
    rows = (await session.execute(running.where(Job.status == JobStatus.RUNNING))).all()
    holders = [
        Holder(row.id, placement.rank(row.priority, row.created_at, now), row.started_at, offers[row.owner])
        for row in rows
        if row.owner in offers and row.pause_requested_at is None and row.preempted_for is None
    ]
    busy = {row.owner for row in rows}
    return holders, [offer for owner, offer in offers.items() if owner not in busy]


async def ask(session: AsyncSession, job_id: str, wanted_for: str) -> bool:
    """Whether the job still runs, and was asked."""
    free = select(Job).where(Job.id == job_id, Job.status == JobStatus.RUNNING, Job.preempted_for.is_(None))
    job = await session.scalar(free.with_for_update(skip_locked=True))
    if job is None:
        return False
    job.preempted_for = wanted_for
    events.add(session, job.id, ASKED)
    return True

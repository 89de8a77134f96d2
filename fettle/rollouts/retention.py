"""Rollouts of jobs that ended long ago are let go; the rest of a job, its model, checkpoints and metrics, stays.

Rows go first: a reader never finds a row whose object is gone for good. What a crash leaves of the objects nothing
refers to any more, and `fettle.storage.garbage_collection` collects it.
"""

from dataclasses import dataclass

from sqlalchemy import delete, select

from fettle.db import Database, database_now
from fettle.jobs import events
from fettle.storage import Storage
from fettle.wording import quantity
from models import ENDED, Job, RolloutChunk

DAY = 24 * 3600


@dataclass(frozen=True)
class Removed:
    """Of one job."""

    job_id: str
    steps: int
    rollouts: int


async def expire(db: Database, storage: Storage, days: float) -> list[Removed]:
    """Removes the rollouts of the jobs that ended more than so many days ago. Raises Away."""
    async with db.snapshot() as session:
        old = (
            select(Job.id)
            .where(Job.status.in_(ENDED), Job.finished_at < database_now() - days * DAY)
            .where(select(RolloutChunk.id).where(RolloutChunk.job_id == Job.id).exists())
        )
        job_ids = list(await session.scalars(old))
    removed = [await forget(db, storage, job_id, days) for job_id in job_ids]
    return [each for each in removed if each.steps]


async def forget(db: Database, storage: Storage, job_id: str, days: float) -> Removed:
    """Nothing, where another worker was faster."""
    async with db.transaction() as session:
        gone = delete(RolloutChunk).where(RolloutChunk.job_id == job_id)
        chunks = (await session.execute(gone.returning(RolloutChunk.storage_key, RolloutChunk.rows))).all()
        removed = Removed(job_id, len(chunks), sum(rows for _, rows in chunks))
        if chunks:
            words = (
                f"{quantity(removed.rollouts, 'rollout')} of {quantity(removed.steps, 'step')} were deleted. Rollouts "
                f"are kept for {quantity(days, 'day')} after a job ends."
            )
            events.add(session, job_id, words, data={"rollouts": removed.rollouts, "steps": removed.steps})
    for key, _ in chunks:
        await storage.delete(key)
    return removed

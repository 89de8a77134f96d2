"""Requests to grade: rows that a worker answers, for user code never runs in the API.

The request is {"graders": what `rewards.check` gave, "samples": […], "models": whom judges may ask}; the result what
`worker.grading` says.
"""

from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids, queue
from fettle.db import database_now
from models import Grading

KEPT_SECONDS = 3600  # answers, for whoever still waits


async def create(session: AsyncSession, project_id: str, request: dict[str, Any]) -> Grading:
    grading = Grading(id=ids.new("grading_"), project_id=project_id, request=request)
    session.add(grading)
    queue.ring_after_commit(session, grading.id)
    return grading


async def claim(session: AsyncSession, owner: str, *, lease_seconds: float, wanted_seconds: float) -> Grading | None:
    """The oldest that nobody is at; what is older than `wanted_seconds` has nobody waiting for it."""
    now = database_now()
    waiting = (
        select(Grading.id)
        .where(Grading.finished_at.is_(None), Grading.created_at > now - wanted_seconds)
        .where(or_(Grading.lease_until.is_(None), Grading.lease_until < now))
        .order_by(Grading.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    statement = (
        update(Grading)
        .where(Grading.id == waiting)
        .values(owner=owner, lease_until=now + lease_seconds)
        .returning(Grading)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(statement)).one_or_none()


async def answer(session: AsyncSession, grading: Grading, result: dict[str, Any]) -> None:
    """A result that comes too late, when another worker has taken over, is dropped."""
    await session.execute(
        update(Grading)
        .where(Grading.id == grading.id, Grading.owner == grading.owner, Grading.finished_at.is_(None))
        .values(result=result, finished_at=database_now(), lease_until=None)
    )


async def sweep(session: AsyncSession) -> None:
    """Removes what nobody waits for any more."""
    await session.execute(delete(Grading).where(Grading.created_at < database_now() - KEPT_SECONDS))

"""Requests to grade: rows that a worker answers, for user code never runs in the API.

The request is {"graders": what `rewards.check` gave, "samples": […], "models": whom judges may ask}; the result what
`worker.rewards.grading_process` says.
"""

from typing import Any

from sqlalchemy import Update, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from fettle import ids
from fettle.db import database_now
from fettle.errors import Unavailable
from models import Grading

KEPT_SECONDS = 3600  # answers, for whoever still waits
WAITING_AT_MOST = 100  # of a project; more would wait longer than anybody does


async def create(session: AsyncSession, project_id: str, request: dict[str, Any]) -> Grading:
    """Raises Unavailable when too many of the project's wait already."""
    recent = Grading.created_at > database_now() - KEPT_SECONDS / 10
    waiting = select(func.count()).where(Grading.project_id == project_id, Grading.finished_at.is_(None), recent)
    if (await session.scalar(waiting) or 0) >= WAITING_AT_MOST:
        raise Unavailable(
            f"{WAITING_AT_MOST} requests of this project wait for a worker to grade them: ask again when some are done."
        )
    grading = Grading(id=ids.new("grading_"), project_id=project_id, request=request)
    session.add(grading)
    return grading


async def claim(
    session: AsyncSession, owner: str, *, lease_seconds: float, wanted_seconds: float, of_a_project: int
) -> Grading | None:
    """The oldest that nobody works on, of the projects that have fewest in work.

    wanted_seconds: nobody waits for an older one. of_a_project: how many of one project this owner works on at a time.
    """
    now, other = database_now(), aliased(Grading)
    busy = (other.project_id == Grading.project_id, other.finished_at.is_(None), other.lease_until >= now)
    in_work = select(func.count()).where(*busy).scalar_subquery()
    here = select(func.count()).where(*busy, other.owner == owner).scalar_subquery()
    waiting = (
        select(Grading.id)
        .where(Grading.finished_at.is_(None), Grading.created_at > now - wanted_seconds)
        .where(or_(Grading.lease_until.is_(None), Grading.lease_until < now))
        .where(here < of_a_project)
        .order_by(in_work, Grading.created_at)
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


async def renew(session: AsyncSession, grading: Grading, lease_seconds: float) -> None:
    await session.execute(held(grading).values(lease_until=database_now() + lease_seconds))


async def answer(session: AsyncSession, grading: Grading, result: dict[str, Any]) -> None:
    """A result that comes too late, when another worker has taken over, is dropped; the request is not kept."""
    await session.execute(held(grading).values(result=result, request={}, finished_at=database_now(), lease_until=None))


def held(grading: Grading) -> Update:
    """While its owner is still the same."""
    return update(Grading).where(
        Grading.id == grading.id, Grading.owner == grading.owner, Grading.finished_at.is_(None)
    )


async def sweep(session: AsyncSession) -> None:
    """Removes what nobody waits for any more."""
    await session.execute(delete(Grading).where(Grading.created_at < database_now() - KEPT_SECONDS))

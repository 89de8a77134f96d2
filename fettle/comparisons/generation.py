"""Comparisons whose responses are still to be generated: who works on which, and what came of it."""

from typing import Any

from sqlalchemy import func, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import database_now
from models import Comparison, ComparisonItem, ComparisonStatus


async def claim(session: AsyncSession, owner: str, lease_seconds: float) -> Comparison | None:
    """The oldest that nobody works on."""
    now = database_now()
    waiting = (
        select(Comparison.id)
        .where(Comparison.status == ComparisonStatus.GENERATING)
        .where(or_(Comparison.lease_until.is_(None), Comparison.lease_until < now))
        .order_by(Comparison.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    statement = (
        update(Comparison)
        .where(Comparison.id == waiting)
        .values(owner=owner, lease_until=now + lease_seconds)
        .returning(Comparison)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(statement)).one_or_none()


async def renew(
    session: AsyncSession, comparison_id: str, owner: str, lease_seconds: float, wait_reason: str | None
) -> bool:
    """Whether the comparison is still there, and still this owner's."""
    changed = await session.execute(
        update(Comparison)
        .where(Comparison.id == comparison_id, Comparison.owner == owner)
        .where(Comparison.status == ComparisonStatus.GENERATING)
        .values(lease_until=database_now() + lease_seconds, wait_reason=wait_reason)
        .returning(Comparison.id)
    )
    return changed.first() is not None


async def pending(session: AsyncSession, comparison_id: str, limit: int) -> list[ComparisonItem]:
    statement = (
        select(ComparisonItem)
        .where(ComparisonItem.comparison_id == comparison_id, ComparisonItem.error.is_(null()))
        .where(~ComparisonItem.ready)
        .order_by(ComparisonItem.number)
        .limit(limit)
    )
    return list(await session.scalars(statement))


async def keep(
    session: AsyncSession, item_id: str, responses: list[dict[str, Any]], error: dict[str, Any] | None
) -> None:
    """What was generated for an item. The first to write wins: annotators may have seen it already."""
    await session.execute(
        update(ComparisonItem)
        .where(ComparisonItem.id == item_id, ~ComparisonItem.ready)
        .values(responses=responses, error=error, ready=error is None)
    )


async def finish(session: AsyncSession, comparison_id: str, owner: str, error: dict[str, Any] | None) -> None:
    """error: why nothing more is generated. Without a single item to vote on the comparison has failed as well."""
    ready = await session.scalar(
        select(func.count()).where(ComparisonItem.comparison_id == comparison_id, ComparisonItem.ready)
    )
    if not ready and error is None:
        error = await session.scalar(
            select(ComparisonItem.error).where(ComparisonItem.comparison_id == comparison_id).limit(1)
        )
    status = ComparisonStatus.READY if ready else ComparisonStatus.FAILED
    await session.execute(
        update(Comparison)
        .where(Comparison.id == comparison_id, Comparison.owner == owner)
        .where(Comparison.status == ComparisonStatus.GENERATING)
        .values(status=status, error=error, wait_reason=None, lease_until=None)
    )

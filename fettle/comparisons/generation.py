"""Comparisons whose responses are still to be generated: who works on which, and what came of it."""

from typing import Any

from sqlalchemy import delete, func, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.comparisons import items, prompts, store
from fettle.comparisons.sources import GENERATED
from fettle.db import database_now, lock
from fettle.errors import Conflict, InvalidRequest
from models import Comparison, ComparisonItem, ComparisonStatus, ComparisonVote


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
    session: AsyncSession, item: ComparisonItem, responses: list[dict[str, Any]], error: dict[str, Any] | None
) -> None:
    """What was generated for an item. The first to write wins: annotators may have seen it already."""
    await session.execute(
        update(ComparisonItem)
        .where(ComparisonItem.id == item.id, ComparisonItem.round == item.round, ~ComparisonItem.ready)
        .values(
            responses=responses,
            error=null() if error is None else error,
            ready=error is None,
            digest=prompts.digest(item.prompt, [response["text"] for response in responses]),
        )
    )


async def finish(session: AsyncSession, comparison_id: str, owner: str) -> bool:
    """Whether nothing is left to generate. Without a single item to vote on the comparison has failed."""
    await lock(session, comparison_id)  # nobody adds a prompt meanwhile
    if await pending(session, comparison_id, 1):
        return False
    error: dict[str, Any] | None = None
    ready = await session.scalar(
        select(func.count()).where(ComparisonItem.comparison_id == comparison_id, ComparisonItem.ready)
    )
    if not ready:
        error = await session.scalar(
            select(ComparisonItem.error).where(ComparisonItem.comparison_id == comparison_id).limit(1)
        )
    status = ComparisonStatus.READY if ready else ComparisonStatus.FAILED
    await session.execute(
        update(Comparison)
        .where(Comparison.id == comparison_id, Comparison.owner == owner)
        .where(Comparison.status == ComparisonStatus.GENERATING)
        .values(status=status, error=null() if error is None else error, wait_reason=None, lease_until=None)
    )
    return True


async def regenerate(session: AsyncSession, comparison: Comparison, item_id: str, *, delete_votes: bool) -> int:
    """The item gets other responses; returns how many votes on the earlier ones were deleted.

    Call it with the comparison locked. Raises NotFound, InvalidRequest, Conflict.
    """
    item = await items.get(session, comparison, item_id)
    if item.source != GENERATED:
        raise InvalidRequest(
            f"The responses of the item {item.id!r} were not generated here, so they cannot be generated again.",
            param="item_id",
        )
    if not item.ready and item.error is None:
        return 0  # about to be generated
    votes = (
        await session.execute(
            select(ComparisonVote.exported_at).where(
                ComparisonVote.item_id == item.id, ComparisonVote.choice.is_not(None)
            )
        )
    ).all()
    if any(exported_at is not None for (exported_at,) in votes):
        raise Conflict(
            f"Votes on the item {item.id!r} are part of an exported file, so its responses can no longer change.",
            code="vote_exported",
        )
    if votes and not delete_votes:
        raise Conflict(
            f"The item {item.id!r} has {len(votes)} vote{'s' * (len(votes) > 1)} on its responses. Send "
            "'delete_votes': true to delete them.",
            code="item_has_votes",
        )
    await store.start_again(session, comparison)
    await session.execute(delete(ComparisonVote).where(ComparisonVote.item_id == item.id))
    await session.execute(
        update(ComparisonItem)
        .where(ComparisonItem.id == item.id)
        .values(responses=null(), error=null(), ready=False, round=ComparisonItem.round + 1)
    )
    return len(votes)

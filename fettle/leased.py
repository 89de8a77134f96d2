"""Rows that one worker at a time works on, under a lease, and whose turn comes round: batches and runs of evals."""

from collections.abc import Collection
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import database_now
from fettle.errors import Fenced
from models import Batch, EvalRun

Row = TypeVar("Row", Batch, EvalRun)


def free(kind: type[Row], going: Collection[Any]) -> ColumnElement[bool]:
    """going: the statuses in which there is something to do."""
    return kind.status.in_(going) & or_(kind.lease_until.is_(None), kind.lease_until < database_now())


async def claim(
    session: AsyncSession, kind: type[Row], going: Collection[Any], owner: str, lease_seconds: float, **values: Any
) -> Row | None:
    """The one that has waited longest for a turn and that nobody works on. values: that it gets."""
    now = database_now()
    waiting = (
        select(kind.id)
        .where(free(kind, going))
        .order_by(kind.served_at, kind.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    statement = (
        update(kind)
        .where(kind.id == waiting)
        .values(owner=owner, lease_until=now + lease_seconds, served_at=now, **values)
        .returning(kind)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(statement)).one_or_none()


async def others_wait(session: AsyncSession, kind: type[Row], going: Collection[Any]) -> bool:
    return await session.scalar(select(kind.id).where(free(kind, going)).limit(1)) is not None


async def hold(session: AsyncSession, kind: type[Row], going: Collection[Any], row_id: str, owner: str) -> Row:
    """The row, locked until this transaction ends: every write of a worker begins here. Raises Fenced."""
    statement = select(kind).where(kind.id == row_id, kind.owner == owner, kind.status.in_(going))
    row = await session.scalar(statement.with_for_update(), execution_options={"populate_existing": True})
    if row is None:
        raise Fenced(row_id)
    return row


async def renew(
    session: AsyncSession,
    kind: type[Row],
    going: Collection[Any],
    row_id: str,
    owner: str,
    lease_seconds: float,
    wait_reason: str | None,
) -> Any:
    """The row's status. Raises Fenced."""
    statement = (
        update(kind)
        .where(kind.id == row_id, kind.owner == owner, kind.status.in_(going))
        .values(lease_until=database_now() + lease_seconds, wait_reason=wait_reason)
        .returning(kind.status)
        .execution_options(synchronize_session=False)
    )
    status = (await session.scalars(statement)).one_or_none()
    if status is None:
        raise Fenced(row_id)
    return status


async def release(session: AsyncSession, kind: type[Row], row_id: str, owner: str) -> None:
    """Its next turn comes after those of the others."""
    await session.execute(
        update(kind)
        .where(kind.id == row_id, kind.owner == owner)
        .values(owner=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )

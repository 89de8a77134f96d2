"""Comparisons: create, find, delete."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, func, null, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.db import lock
from fettle.errors import Conflict, NotFound
from fettle.inference.client import Servable
from fettle.pagination import page
from models import (
    Comparison,
    ComparisonAnnotator,
    ComparisonExport,
    ComparisonItem,
    ComparisonStatus,
    ComparisonVote,
)

GENERATING_AT_MOST = 20  # comparisons of a project at a time

Message = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What a request asks for, already checked."""

    name: str
    mode: str
    models: Sequence[str]
    servables: Sequence[Servable]
    prompts: Sequence[Sequence[Message]]
    n: int
    sampling: dict[str, Any]
    instructions: str
    overlap: str
    votes_per_item: int
    seed: int | None


async def create(session: AsyncSession, project_id: str, wanted: Wanted) -> Comparison:
    """Raises Conflict while too many of the project's comparisons are still generating."""
    await lock(session, f"{project_id} comparisons")
    generating = select(func.count()).where(
        Comparison.project_id == project_id, Comparison.status == ComparisonStatus.GENERATING
    )
    if (await session.scalar(generating) or 0) >= GENERATING_AT_MOST:
        raise Conflict(
            f"{GENERATING_AT_MOST} comparisons of this project are still generating responses. Wait until one is "
            "ready, or delete one.",
            code="too_many_comparisons",
        )
    comparison = Comparison(
        id=ids.new("cmp_"),
        project_id=project_id,
        name=wanted.name,
        mode=wanted.mode,
        models=list(wanted.models),
        servables=[asdict(servable) for servable in wanted.servables],
        sampling=wanted.sampling,
        instructions=wanted.instructions,
        n=wanted.n,
        overlap=wanted.overlap,
        votes_per_item=wanted.votes_per_item,
        seed=secrets.randbelow(2**31) if wanted.seed is None else wanted.seed,
        status=ComparisonStatus.GENERATING,
    )
    session.add(comparison)
    await session.flush()
    session.add_all(
        ComparisonItem(
            id=ids.new("cmpitem_"),
            comparison_id=comparison.id,
            project_id=project_id,
            number=number,
            prompt=list(prompt),
            ready=False,
        )
        for number, prompt in enumerate(wanted.prompts, 1)
    )
    await session.flush()
    return comparison


async def get(session: AsyncSession, project_id: str, comparison_id: str, *, locked: bool = False) -> Comparison:
    """locked: nobody else votes in it or deletes it until the transaction ends.

    Raises NotFound: for another tenant's comparison as for none.
    """
    if locked:
        await lock(session, comparison_id)
    row = await session.scalar(
        select(Comparison).where(Comparison.id == comparison_id, Comparison.project_id == project_id)
    )
    if row is None:
        raise unknown(comparison_id)
    return row


def unknown(comparison_id: str) -> NotFound:
    return NotFound(f"No comparison has the id {comparison_id!r}.", param="comparison_id")


async def newest(
    session: AsyncSession, project_id: str, *, after: str | None, limit: int
) -> tuple[list[Comparison], bool]:
    statement = select(Comparison).where(Comparison.project_id == project_id)
    order = (Comparison.created_at, Comparison.id)
    return await page(session, statement, order, Comparison.id, after=after, limit=limit)


async def progress(session: AsyncSession, comparison: Comparison) -> dict[str, int]:
    """How many items there are, have responses, failed, and how many votes they have."""
    items = select(
        func.count(),
        func.count().filter(ComparisonItem.ready),
        func.count().filter(ComparisonItem.error.is_not(null()), ~ComparisonItem.ready),
    ).where(ComparisonItem.comparison_id == comparison.id)
    total, ready, failed = (await session.execute(items)).one()
    votes = select(func.count()).where(
        ComparisonVote.comparison_id == comparison.id, ComparisonVote.choice.is_not(None)
    )
    return {"items": total, "ready": ready, "failed": failed, "votes": await session.scalar(votes) or 0}


async def delete_all(session: AsyncSession, project_id: str, comparison_id: str) -> None:
    """The comparison with its items, votes and annotators. Exported files stay."""
    comparison = await get(session, project_id, comparison_id, locked=True)
    for table in (ComparisonVote, ComparisonExport, ComparisonAnnotator, ComparisonItem):
        await session.execute(delete(table).where(table.comparison_id == comparison.id))
    await session.delete(comparison)

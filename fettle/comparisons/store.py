"""Comparisons: create, find, delete."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import String, cast, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.comparisons import prompts
from fettle.comparisons.sources import GENERATED
from fettle.db import lock
from fettle.errors import Conflict, InvalidRequest, NotFound
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
    check_every: int = 10
    repeats: bool = False
    job_id: str | None = None


async def create(session: AsyncSession, project_id: str, wanted: Wanted) -> Comparison:
    """Ready at once where there is nothing to generate: for imports.

    Raises Conflict while too many of the project's comparisons are still generating.
    """
    if wanted.prompts:
        await admit_generation(session, project_id)
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
        check_every=wanted.check_every,
        repeats=wanted.repeats,
        job_id=wanted.job_id,
        imported_bytes=0,
        status=ComparisonStatus.GENERATING if wanted.prompts else ComparisonStatus.READY,
    )
    session.add(comparison)
    await session.flush()
    await add_items(session, comparison, wanted.prompts)
    return comparison


async def admit_generation(session: AsyncSession, project_id: str) -> None:
    """Raises Conflict."""
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


async def add_items(session: AsyncSession, comparison: Comparison, added: Sequence[Sequence[Message]]) -> None:
    """Prompts whose responses are to be generated."""
    first = await next_number(session, comparison)
    session.add_all(
        ComparisonItem(
            id=ids.new("cmpitem_"),
            comparison_id=comparison.id,
            project_id=comparison.project_id,
            number=number,
            prompt=list(prompt),
            ready=False,
        )
        for number, prompt in enumerate(added, first)
    )
    await session.flush()


async def next_number(session: AsyncSession, comparison: Comparison) -> int:
    """Of an item that is added. Call it with the comparison locked."""
    last = select(func.max(ComparisonItem.number)).where(ComparisonItem.comparison_id == comparison.id)
    return (await session.scalar(last) or 0) + 1


async def add_prompts(session: AsyncSession, comparison: Comparison, added: Sequence[Sequence[Message]]) -> None:
    """Call it with the comparison locked. Raises InvalidRequest, Conflict."""
    if not comparison.models:
        raise InvalidRequest("This comparison has no models that could answer prompts.", param="prompts")
    size = func.sum(func.length(cast(ComparisonItem.prompt, String)))
    statement = select(func.count(), size).where(
        ComparisonItem.comparison_id == comparison.id, ComparisonItem.source == GENERATED
    )
    count, characters = (await session.execute(statement)).one()
    prompts.check_total(count + len(added), (characters or 0) + sum(map(prompts.size, added)))
    prompts.check_tokens(count + len(added), comparison.n, comparison.sampling["max_completion_tokens"])
    await start_again(session, comparison)
    await add_items(session, comparison, added)


async def start_again(session: AsyncSession, comparison: Comparison) -> None:
    """A worker generates what has no responses yet. Raises Conflict."""
    if comparison.status != ComparisonStatus.GENERATING:
        await admit_generation(session, comparison.project_id)
        comparison.status, comparison.error = ComparisonStatus.GENERATING, None
        comparison.wait_reason = comparison.lease_until = comparison.owner = None
    await session.flush()


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


async def delete_all(session: AsyncSession, project_id: str, comparison_id: str) -> None:
    """The comparison with its items, votes and annotators. Exported files stay."""
    comparison = await get(session, project_id, comparison_id, locked=True)
    for table in (ComparisonVote, ComparisonExport, ComparisonAnnotator, ComparisonItem):
        await session.execute(delete(table).where(table.comparison_id == comparison.id))
    await session.delete(comparison)

"""Items: served to annotators blind, in an order of their own, each to an annotator once."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from fettle import ids
from fettle.comparisons import checks, store
from fettle.comparisons.sources import GENERATED
from fettle.db import database_now
from fettle.errors import Conflict, NotFound
from fettle.pagination import page
from models import Comparison, ComparisonAnnotator, ComparisonItem, ComparisonStatus, ComparisonVote

LEASE_SECONDS = 600.0  # in which the item on the screen is the annotator's alone
AHEAD_SECONDS = 120.0  # the same for the items after it, which their page renews: whoever leaves keeps them from nobody
OPEN_AT_MOST = 10  # items of an annotator without a vote: more would keep them from the others
VOTES_AT_MOST = 20_000  # of a comparison, and items that annotators opened without a vote


@dataclass(frozen=True)
class Task:
    """An item in an annotator's hands."""

    item: ComparisonItem
    vote: ComparisonVote


def wanted_votes(comparison: Comparison) -> int | None:
    """Of an item; None: one of each annotator."""
    return {"full": None, "none": 1}.get(comparison.overlap, comparison.votes_per_item)


def shuffled(
    comparison: Comparison, annotator: ComparisonAnnotator, item: ComparisonItem, *, repeat: bool = False
) -> list[str]:
    """Ids of the responses in this annotator's order; a repeated item has another one."""
    order = [response["id"] for response in item.responses or []]
    random.Random(f"{comparison.seed} {annotator.id} {item.id}{' repeat' * repeat}").shuffle(order)
    return order


def taken() -> ColumnElement[bool]:
    """Whether a row of votes counts: it is a vote, or somebody is about to make it one."""
    return or_(ComparisonVote.choice.is_not(None), ComparisonVote.lease_until >= database_now())


async def next_tasks(
    session: AsyncSession, comparison: Comparison, annotator: ComparisonAnnotator, count: int, *, resume: bool = False
) -> list[Task]:
    """So many items for the annotator, leased; fewer where there are no more. Only the first has the long lease.

    resume: those that the annotator has open come first and count. Call it with the comparison locked. Raises Conflict.
    """
    tasks = await open_tasks(session, annotator, count) if resume else []
    while len(tasks) < count and (task := await next_task(session, comparison, annotator)) is not None:
        tasks.append(task)
    for task in tasks[1:]:
        await lease(session, task.vote, AHEAD_SECONDS)
    return tasks


async def next_task(session: AsyncSession, comparison: Comparison, annotator: ComparisonAnnotator) -> Task | None:
    """Another item for the annotator, leased. Call it with the comparison locked. Raises Conflict."""
    held = select(func.count()).select_from(open_votes_of(annotator).subquery())
    if (await session.scalar(held) or 0) >= OPEN_AT_MOST:
        return None
    check = await checks.due(session, comparison, annotator)
    item = check[0] if check else (await session.scalars(candidates(comparison, annotator).limit(1))).first()
    if item is None:
        return None
    repeat = check is not None and check[1]
    earlier = select(ComparisonVote).where(
        ComparisonVote.item_id == item.id,
        ComparisonVote.annotator_id == annotator.id,
        ComparisonVote.repeat == repeat,
    )
    vote = await session.scalar(earlier)  # a lease that ran out
    if vote is None:
        opened = select(func.count()).where(ComparisonVote.comparison_id == comparison.id)
        if (await session.scalar(opened) or 0) >= VOTES_AT_MOST:
            raise Conflict(
                f"The comparison has {VOTES_AT_MOST:,} votes, which is the limit. Create another comparison.",
                code="too_many_votes",
            )
        vote = ComparisonVote(
            id=ids.new("vote_"),
            comparison_id=comparison.id,
            project_id=comparison.project_id,
            item_id=item.id,
            annotator_id=annotator.id,
            repeat=repeat,
        )
        session.add(vote)
    vote.shown = shuffled(comparison, annotator, item, repeat=repeat)
    await lease(session, vote)
    return Task(item, vote)


def candidates(comparison: Comparison, annotator: ComparisonAnnotator) -> Select[ComparisonItem]:
    """Items that the annotator may still vote on, those with the fewest votes first."""
    others = aliased(ComparisonVote)
    count = (
        select(func.count())
        .where(others.item_id == ComparisonItem.id)
        .where(or_(others.choice.is_not(None), others.lease_until >= database_now()))
        .correlate(ComparisonItem)
        .scalar_subquery()
    )
    mine = (
        select(ComparisonVote.id)
        .where(ComparisonVote.item_id == ComparisonItem.id, ComparisonVote.annotator_id == annotator.id)
        .where(taken())
        .correlate(ComparisonItem)
        .exists()
    )
    statement = select(ComparisonItem).where(ComparisonItem.comparison_id == comparison.id, ComparisonItem.ready, ~mine)
    statement = statement.where(ComparisonItem.source == GENERATED)
    if (wanted := wanted_votes(comparison)) is not None:
        statement = statement.where(count < wanted)
    return statement.order_by(count, ComparisonItem.number)


async def lease(session: AsyncSession, vote: ComparisonVote, seconds: float = LEASE_SECONDS) -> None:
    vote.lease_until = (await session.scalar(select(database_now())) or 0.0) + seconds
    await session.flush()


def lease_of(vote: ComparisonVote) -> str | None:
    """Its lease by name: a renewed one has another name."""
    return None if vote.lease_until is None else repr(vote.lease_until)


async def release(session: AsyncSession, annotator: ComparisonAnnotator, leases: Mapping[str, str]) -> int:
    """Frees items for others: how many. Call it with the comparison locked.

    leases: by the id of the vote. One that was renewed since stays: another page of the annotator has the item.
    """
    held = [
        vote for _, vote in await session.execute(open_votes_of(annotator)) if leases.get(vote.id) == lease_of(vote)
    ]
    for vote in held:
        vote.lease_until = None
    await session.flush()
    return len(held)


def open_votes_of(annotator: ComparisonAnnotator) -> Select[ComparisonItem, ComparisonVote]:
    return (
        select(ComparisonItem, ComparisonVote)
        .join(ComparisonVote, ComparisonVote.item_id == ComparisonItem.id)
        .where(ComparisonVote.annotator_id == annotator.id, ComparisonVote.choice.is_(None), taken())
    )


async def open_tasks(session: AsyncSession, annotator: ComparisonAnnotator, count: int) -> list[Task]:
    """The items that the annotator has and has not voted on, the oldest first: for a page that was loaded again."""
    order = (ComparisonVote.created_at, ComparisonVote.id)
    found = (await session.execute(open_votes_of(annotator).order_by(*order).limit(count))).all()
    for _, vote in found:
        await lease(session, vote)
    return [Task(item, vote) for item, vote in found]


async def progress(session: AsyncSession, comparison: Comparison, annotator: ComparisonAnnotator) -> dict[str, int]:
    """How many items the annotator has voted on, has open, and can still get; `wanted` is all of these."""
    voted = select(func.count()).where(ComparisonVote.annotator_id == annotator.id, ComparisonVote.choice.is_not(None))
    left = select(func.count()).select_from(candidates(comparison, annotator).order_by(None).subquery())
    held = select(func.count()).where(
        and_(ComparisonVote.annotator_id == annotator.id, ComparisonVote.choice.is_(None), taken())
    )
    done = {
        "voted": await session.scalar(voted) or 0,
        "open": await session.scalar(held) or 0,
        "left": await session.scalar(left) or 0,
    }
    return {**done, "wanted": sum(done.values())}


def why_none(comparison: Comparison, done: dict[str, int]) -> str:
    """What to tell an annotator for whom there is no further item."""
    if comparison.status == ComparisonStatus.GENERATING:
        return "Responses are still being generated. Ask again in a moment."
    if done["open"]:
        return "Vote on the items that you have open."
    return "Every item has the votes that it needs. Thank you."


async def newest(
    session: AsyncSession, project_id: str, comparison_id: str, *, after: str | None, limit: int
) -> tuple[list[ComparisonItem], bool]:
    """A page in the order of the prompts, with the models that wrote the responses."""
    comparison = await store.get(session, project_id, comparison_id)
    statement = select(ComparisonItem).where(ComparisonItem.comparison_id == comparison.id)
    order = (ComparisonItem.number,)
    return await page(session, statement, order, ComparisonItem.id, after=after, limit=limit, newest_first=False)


async def get(session: AsyncSession, comparison: Comparison, item_id: str) -> ComparisonItem:
    """Raises NotFound."""
    row = await session.scalar(
        select(ComparisonItem).where(ComparisonItem.id == item_id, ComparisonItem.comparison_id == comparison.id)
    )
    if row is None:
        raise NotFound(f"No item of this comparison has the id {item_id!r}.", param="item_id")
    return row

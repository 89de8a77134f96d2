"""Votes: made, changed and undone by their annotator until they are exported."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.comparisons import items
from fettle.db import database_now
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.pagination import page
from models import Comparison, ComparisonAnnotator, ComparisonItem, ComparisonVote

CHOICES: dict[str, tuple[str, ...]] = {
    "rank": ("ranking", "both_bad", "skip"),
    "pick": ("pick", "tie", "both_bad", "skip"),
}

Levels = list[list[str]]  # ids of responses, best first; those of one level tie


@dataclass(frozen=True)
class Ballot:
    """A vote as it was sent."""

    item_id: str
    choice: str
    ranking: Sequence[str | Sequence[str]] = ()
    pick: str | None = None
    note: str | None = None
    seconds: float | None = None
    vote_id: str | None = None


async def cast(
    session: AsyncSession, comparison: Comparison, annotator: ComparisonAnnotator, ballot: Ballot
) -> ComparisonVote:
    """The annotator's vote on the item; sent again it takes the place of the first. Call it with the comparison locked.

    Raises NotFound, InvalidRequest, and Conflict for a vote that was exported.
    """
    item = await items.get(session, comparison, ballot.item_id)
    found = await session.scalars(
        select(ComparisonVote).where(ComparisonVote.item_id == item.id, ComparisonVote.annotator_id == annotator.id)
    )
    vote = meant(found.all(), ballot, await session.scalar(select(database_now())) or 0.0)
    if vote is None:
        raise NotFound(
            f"The item {item.id!r} was not given to you. Ask for one at /v1/comparisons/{comparison.id}/next.",
            param="item_id",
        )
    changeable(vote)
    levels = levels_of(comparison, item, ballot)
    vote.choice, vote.order = ballot.choice, None if levels is None else {"levels": levels}
    vote.note, vote.seconds, vote.lease_until = ballot.note, ballot.seconds, None
    vote.voted_at = await session.scalar(select(database_now()))
    await session.flush()
    return vote


def meant(found: Sequence[ComparisonVote], ballot: Ballot, now: float) -> ComparisonVote | None:
    """The vote that a ballot is for; without an id, the repeated one as long as it is open."""
    if ballot.vote_id is not None:
        return next((vote for vote in found if vote.id == ballot.vote_id), None)
    first = next((vote for vote in found if not vote.repeat), None)
    waiting = [vote for vote in found if vote.choice is None and (vote.lease_until or 0.0) >= now]
    return next((vote for vote in waiting if vote.repeat), first)


def changeable(vote: ComparisonVote) -> None:
    """Raises Conflict."""
    if vote.exported_at is not None:
        raise Conflict(
            f"The vote {vote.id!r} is part of an exported file and can no longer change.", code="vote_exported"
        )


def levels_of(comparison: Comparison, item: ComparisonItem, ballot: Ballot) -> Levels | None:
    """The order that the ballot says; None where it says none. Raises InvalidRequest."""
    allowed = CHOICES[comparison.mode]
    if ballot.choice not in allowed:
        raise InvalidRequest(
            f"A comparison with the mode {comparison.mode!r} does not take {ballot.choice!r}. Send one of: "
            f"{', '.join(allowed)}.",
            param=ballot.choice,
        )
    known = [response["id"] for response in item.responses or []]
    if ballot.choice == "tie":
        return [known]
    if ballot.choice == "pick":
        if ballot.pick not in known:
            raise InvalidRequest(unknown(ballot.pick, item.id), param="pick")
        return [[ballot.pick], [each for each in known if each != ballot.pick]]
    if ballot.choice != "ranking":
        return None
    levels = [[entry] if isinstance(entry, str) else list(entry) for entry in ballot.ranking]
    seen: set[str] = set()
    for each in (each for level in levels for each in level):
        if each not in known:
            raise InvalidRequest(unknown(each, item.id), param="ranking")
        if each in seen:
            raise InvalidRequest(f"The response {each!r} is in the ranking twice.", param="ranking")
        seen.add(each)
    if missing := [each for each in known if each not in seen]:
        raise InvalidRequest(
            f"The ranking has {len(seen)} of the item's {len(known)} responses. Add: {', '.join(missing)}.",
            param="ranking",
        )
    return [level for level in levels if level]


def unknown(response_id: str | None, item_id: str) -> str:
    return f"The item {item_id!r} has no response with the id {response_id!r}."


async def own(
    session: AsyncSession, comparison: Comparison, annotator: ComparisonAnnotator, vote_id: str
) -> tuple[ComparisonItem, ComparisonVote]:
    """Raises NotFound."""
    found = (
        await session.execute(
            select(ComparisonItem, ComparisonVote)
            .join(ComparisonVote, ComparisonVote.item_id == ComparisonItem.id)
            .where(ComparisonVote.id == vote_id, ComparisonVote.annotator_id == annotator.id)
            .where(ComparisonItem.comparison_id == comparison.id)
        )
    ).first()
    if found is None:
        raise NotFound(f"You have no vote with the id {vote_id!r} in this comparison.", param="vote_id")
    return found[0], found[1]


async def undo(
    session: AsyncSession, comparison: Comparison, annotator: ComparisonAnnotator, vote_id: str
) -> ComparisonVote:
    """Takes the vote back: the item is the annotator's to vote on again. Call it with the comparison locked.

    Raises NotFound, Conflict.
    """
    _, vote = await own(session, comparison, annotator, vote_id)
    changeable(vote)
    vote.choice = vote.order = vote.note = vote.seconds = vote.voted_at = None
    await items.lease(session, vote)
    return vote


async def newest(
    session: AsyncSession,
    comparison: Comparison,
    *,
    annotator: ComparisonAnnotator | None,
    after: str | None,
    limit: int,
) -> tuple[list[ComparisonVote], bool]:
    """A page of one annotator's votes, or of all."""
    statement = select(ComparisonVote).where(
        ComparisonVote.comparison_id == comparison.id, ComparisonVote.choice.is_not(None)
    )
    if annotator is not None:
        statement = statement.where(ComparisonVote.annotator_id == annotator.id)
    order = (ComparisonVote.voted_at, ComparisonVote.id)
    return await page(session, statement, order, ComparisonVote.id, after=after, limit=limit)

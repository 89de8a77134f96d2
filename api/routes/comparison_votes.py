from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from api.deps import AppState, ProjectId, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.comparison import Release, VoteCreate, blind, next_object, own_vote_object, vote_object
from fettle.comparisons import annotators, items, store, votes
from fettle.comparisons.items import Task
from fettle.errors import InvalidRequest
from models import Comparison, ComparisonAnnotator

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])

Limit = Annotated[int, Query(ge=1, le=100)]
CHOICES = ("ranking", "pick", "tie", "both_bad", "skip")
AHEAD = 5  # items in one answer


@asynccontextmanager
async def voting(
    request: Request, services: AppState, comparison_id: str, session: AsyncSession
) -> AsyncIterator[tuple[Comparison, ComparisonAnnotator]]:
    """The comparison, locked, and whoever votes in it. Raises NotFound: an invitation is for one comparison."""
    invited = cast(ComparisonAnnotator | None, getattr(request.state, "annotator", None))
    if invited is not None and invited.comparison_id != comparison_id:
        raise store.unknown(comparison_id)
    comparison = await store.get(session, request.state.project_id, comparison_id, locked=True)
    yield comparison, invited or await annotators.of_key(session, comparison, request.state.api_key)


@router.get("/{comparison_id}/next")
async def next_item(
    comparison_id: str,
    request: Request,
    services: Services,
    session: Transaction,
    resume: bool = False,
    count: Annotated[int, Query(ge=1, le=AHEAD)] = 1,
) -> dict[str, Any]:
    """Another item to vote on, leased for ten minutes; responses in an order of the annotator's own, models hidden.

    resume: items that the annotator has open come first, for a page that was loaded again. count: with `upcoming`,
    the items after it, so that a page can show the next one without waiting. These are leased for two minutes, and
    asking again with `resume` renews them.
    """
    async with voting(request, services, comparison_id, session) as (comparison, annotator):
        tasks = await items.next_tasks(session, comparison, annotator, count, resume=resume)
        done = await items.progress(session, comparison, annotator)
    return next_object(comparison, annotator, tasks, done)


@router.post("/{comparison_id}/release")
async def release(
    comparison_id: str, body: Release, request: Request, services: Services, session: Transaction
) -> dict[str, Any]:
    """Give items of `upcoming` back before their leases end, when a page closes. A lease renewed since stays."""
    async with voting(request, services, comparison_id, session) as (_, annotator):
        return {"object": "comparison.release", "released": await items.release(session, annotator, body.leases)}


@router.post("/{comparison_id}/votes")
async def vote(
    comparison_id: str, body: VoteCreate, request: Request, services: Services, session: Transaction
) -> dict[str, Any]:
    """Vote on an item; sent again, the vote takes the place of the first until it is exported."""
    sent = [name for name in CHOICES if getattr(body, name) is not None]
    async with voting(request, services, comparison_id, session) as (comparison, annotator):
        if len(sent) != 1:
            what = f"{' and '.join(map(repr, sent))} were sent" if sent else "None was sent"
            raise InvalidRequest(f"A vote is one of: {', '.join(CHOICES)}. {what}.", param=sent[1] if sent else None)
        ballot = votes.Ballot(
            body.item_id, sent[0], body.ranking or (), body.pick, body.note, body.seconds, body.vote_id
        )
        return own_vote_object(await votes.cast(session, comparison, annotator, ballot))


@router.get("/{comparison_id}/votes")
async def list_votes(
    comparison_id: str, project_id: ProjectId, session: Snapshot, after: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    comparison = await store.get(session, project_id, comparison_id)
    rows, has_more = await votes.newest(session, comparison, annotator=None, after=after, limit=limit)
    return listing(rows, vote_object, has_more)


@router.get("/{comparison_id}/votes/mine")
async def own_votes(
    comparison_id: str,
    request: Request,
    services: Services,
    session: Transaction,
    after: str | None = None,
    limit: Limit = 20,
) -> dict[str, Any]:
    """The caller's own votes, newest first: for undo and edit."""
    async with voting(request, services, comparison_id, session) as (comparison, annotator):
        rows, has_more = await votes.newest(session, comparison, annotator=annotator, after=after, limit=limit)
    return listing(rows, own_vote_object, has_more)


@router.get("/{comparison_id}/votes/{vote_id}")
async def own_vote(
    comparison_id: str, vote_id: str, request: Request, services: Services, session: Transaction
) -> dict[str, Any]:
    """A vote of the caller's own with the item as they saw it: for a page that edits it."""
    async with voting(request, services, comparison_id, session) as (comparison, annotator):
        item, row = await votes.own(session, comparison, annotator, vote_id)
    return {**own_vote_object(row), "item": blind(Task(item, row))}


@router.delete("/{comparison_id}/votes/{vote_id}")
async def undo(
    comparison_id: str, vote_id: str, request: Request, services: Services, session: Transaction
) -> dict[str, Any]:
    """Take a vote of one's own back: the item is open again."""
    async with voting(request, services, comparison_id, session) as (comparison, annotator):
        await votes.undo(session, comparison, annotator, vote_id)
    return {"id": vote_id, "object": "comparison.vote", "deleted": True}

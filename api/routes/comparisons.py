import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

import orjson
from fastapi import APIRouter, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from api import comparison_prompts, isolation
from api.deps import AppState, Caller, ProjectId, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.comparison import (
    DAY,
    ComparisonCreate,
    Invitation,
    VoteCreate,
    annotator_object,
    comparison_object,
    item_object,
    next_object,
    vote_object,
)
from fettle.comparisons import annotators, items, results, store, votes
from fettle.errors import InvalidRequest
from fettle.inference import client
from fettle.tenancy import scopes
from models import Comparison, ComparisonAnnotator

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])

Limit = Annotated[int, Query(ge=1, le=100)]
TOKENS_AT_MOST = 2_000_000  # that a comparison may generate
ITEMS_AT_MOST = 20  # on a page: each has a prompt and up to nine responses
CHOICES = ("ranking", "pick", "tie", "both_bad", "skip")


@router.post("")
async def create(body: ComparisonCreate, caller: Caller, services: Services) -> dict[str, Any]:
    """Compare responses by votes of people. A worker generates the responses; items can be voted on as they come."""
    scopes.need(caller.scopes, "chat")  # it shows what models answer
    n = body.n or max(2 if body.mode == "pick" else 4, len(body.models))
    if n < len(body.models):
        raise InvalidRequest(
            f"'n' is {n}, but there are {len(body.models)} models: each writes at least one response.", param="n"
        )
    if body.overlap == "none" and body.votes_per_item > 1:
        raise InvalidRequest(
            f"With 'overlap': 'none' each item gets one vote, not {body.votes_per_item}. Use 'controlled'.",
            param="votes_per_item",
        )
    prompts = await comparison_prompts.read(services, caller, body)
    if (tokens := len(prompts) * n * body.sampling.max_completion_tokens) > TOKENS_AT_MOST:
        raise InvalidRequest(
            f"{len(prompts):,} prompts with {n} responses of up to {body.sampling.max_completion_tokens:,} tokens come "
            f"to {tokens:,} tokens; the limit is {TOKENS_AT_MOST:,}. Send fewer prompts, or lower one of the others.",
            param="prompts",
        )
    if body.overlap == "controlled" and len(prompts) * body.votes_per_item > items.VOTES_AT_MOST:
        raise InvalidRequest(
            f"{len(prompts):,} items with {body.votes_per_item} votes each need more than {items.VOTES_AT_MOST:,} "
            "votes, which is the limit. Send fewer prompts, or lower 'votes_per_item'.",
            param="votes_per_item",
        )
    async with services.db.transaction() as session:
        servables = [
            await client.find(session, caller.project_id, services.aliases.get(name, name), services.models)
            for name in body.models
        ]
        wanted = store.Wanted(
            name=body.name,
            mode=body.mode,
            models=body.models,
            servables=servables,
            prompts=prompts,
            n=n,
            sampling=body.sampling.model_dump(),
            instructions=body.instructions,
            overlap=body.overlap,
            votes_per_item=body.votes_per_item,
            seed=body.seed,
        )
        comparison = await store.create(session, caller.project_id, wanted)
        progress = await store.progress(session, comparison)
    await services.doorbell.ring(comparison.id)
    return comparison_object(comparison, progress)


@router.get("")
async def newest(
    project_id: ProjectId, session: Snapshot, after: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    rows, has_more = await store.newest(session, project_id, after=after, limit=limit)
    counts = {row.id: await store.progress(session, row) for row in rows}
    return listing(rows, lambda row: comparison_object(row, counts[row.id]), has_more)


@router.get("/{comparison_id}")
async def retrieve(comparison_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    comparison = await store.get(session, project_id, comparison_id)
    return comparison_object(comparison, await store.progress(session, comparison))


@router.delete("/{comparison_id}")
async def delete(comparison_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """With its responses, votes and annotators. Files that were exported stay."""
    await store.delete_all(session, project_id, comparison_id)
    return {"id": comparison_id, "object": "comparison", "deleted": True}


@router.get("/{comparison_id}/items")
async def list_items(
    comparison_id: str, project_id: ProjectId, session: Snapshot, after: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    """Prompts and responses with the models that wrote them, in order. A page has at most 20, whatever `limit` says."""
    rows, has_more = await items.newest(
        session, project_id, comparison_id, after=after, limit=min(limit, ITEMS_AT_MOST)
    )
    return listing(rows, item_object, has_more)


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
    comparison_id: str, request: Request, services: Services, session: Transaction, resume: bool = False
) -> dict[str, Any]:
    """Another item to vote on, leased for ten minutes; responses in an order of the annotator's own, models hidden.

    resume: first the item that the annotator has open, for a page that was loaded again.
    """
    async with voting(request, services, comparison_id, session) as (comparison, annotator):
        task = await items.open_task(session, annotator) if resume else None
        task = task or await items.next_task(session, comparison, annotator)
        done = await items.progress(session, comparison, annotator)
    return next_object(comparison, annotator, task, done)


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
        ballot = votes.Ballot(body.item_id, sent[0], body.ranking or (), body.pick, body.note, body.seconds)
        return vote_object(await votes.cast(session, comparison, annotator, ballot))


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
    return listing(rows, vote_object, has_more)


@router.delete("/{comparison_id}/votes/{vote_id}")
async def undo(
    comparison_id: str, vote_id: str, request: Request, services: Services, session: Transaction
) -> dict[str, Any]:
    """Take a vote of one's own back: the item is open again."""
    async with voting(request, services, comparison_id, session) as (comparison, annotator):
        await votes.undo(session, comparison, annotator, vote_id)
    return {"id": vote_id, "object": "comparison.vote", "deleted": True}


@router.get("/{comparison_id}/results")
async def show_results(comparison_id: str, project_id: ProjectId, services: Services) -> dict[str, Any]:
    """Agreement, strengths of the models, and figures of each annotator."""
    async with services.db.snapshot() as session:
        comparison = await store.get(session, project_id, comparison_id)
        material = await results.material(session, comparison)
        names = {row.id: row.name for row in await annotators.everyone(session, comparison)}
    content = orjson.dumps(material)
    found = orjson.loads(
        await isolation.run(
            services.pool,
            "comparison_results",
            project_id,
            "comparison_id",
            content=content,
            seconds=results.SECONDS,
            memory=results.MEMORY,
        )
    )
    for each in found["annotators"]:
        each["name"] = names.get(each["annotator_id"])
    return {"object": "comparison.results", "comparison_id": comparison.id, **found}


@router.post("/{comparison_id}/annotators")
async def invite(
    comparison_id: str, body: Invitation, project_id: ProjectId, services: Services, session: Transaction
) -> dict[str, Any]:
    """Invite a person to vote. `token` is shown this once; it votes in this comparison and does nothing else."""
    comparison = await store.get(session, project_id, comparison_id, locked=True)
    expires_at = time.time() + body.expires_in_days * DAY
    row, token = await annotators.invite(session, comparison, body.name, services.pepper, expires_at)
    return annotator_object(row, token)


@router.get("/{comparison_id}/annotators")
async def list_annotators(comparison_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    comparison = await store.get(session, project_id, comparison_id)
    return listing(await annotators.everyone(session, comparison), annotator_object, False)


@router.delete("/{comparison_id}/annotators/{annotator_id}")
async def revoke(comparison_id: str, annotator_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Revoke an invitation: it is useless at once. The votes stay."""
    return annotator_object(await annotators.revoke(session, project_id, comparison_id, annotator_id))


@router.delete("/{comparison_id}/annotators/{annotator_id}/votes")
async def delete_votes(
    comparison_id: str, annotator_id: str, project_id: ProjectId, session: Transaction
) -> dict[str, Any]:
    """Delete all votes of an annotator. `files` names those that were made of some of them, and still exist."""
    count, files = await annotators.delete_votes(session, project_id, comparison_id, annotator_id)
    return {"object": "comparison.votes.deleted", "annotator_id": annotator_id, "deleted": count, "files": files}

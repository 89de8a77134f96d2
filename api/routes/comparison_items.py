from typing import Annotated, Any

from fastapi import APIRouter, Query

from api import audit, comparison_prompts
from api.deps import Caller, ProjectId, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.comparison import GoldCreate, PromptsAdd, Regenerate, comparison_object, item_object
from fettle.comparisons import checks, generation, items, progress, store
from fettle.queue import ring_after_commit
from fettle.tenancy import scopes

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])

Limit = Annotated[int, Query(ge=1, le=100)]
ITEMS_AT_MOST = 20  # on a page: each has a prompt and up to nine responses


@router.get("/{comparison_id}/items")
async def list_items(
    comparison_id: str, project_id: ProjectId, session: Snapshot, after: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    """Prompts and responses with the models that wrote them, in order. A page has at most 20, whatever `limit` says."""
    rows, has_more = await items.newest(
        session, project_id, comparison_id, after=after, limit=min(limit, ITEMS_AT_MOST)
    )
    return listing(rows, item_object, has_more)


@router.post("/{comparison_id}/items/{item_id}/regenerate")
async def regenerate(
    comparison_id: str, item_id: str, body: Regenerate, caller: Caller, session: Transaction
) -> dict[str, Any]:
    """Generate other responses to an item's prompt. Votes on the earlier ones are deleted, if the request says so."""
    scopes.need(caller.scopes, "chat")
    comparison = await store.get(session, caller.project_id, comparison_id, locked=True)
    deleted = await generation.regenerate(session, comparison, item_id, delete_votes=body.delete_votes)
    ring_after_commit(session, comparison.id)
    item = await items.get(session, comparison, item_id)
    await session.refresh(item)
    return {**item_object(item), "deleted_votes": deleted}


@router.post("/{comparison_id}/prompts")
async def add_prompts(comparison_id: str, body: PromptsAdd, caller: Caller, services: Services) -> dict[str, Any]:
    """Add prompts to a comparison. A worker generates the responses to them."""
    scopes.need(caller.scopes, "chat")
    async with services.db.snapshot() as snapshot:
        await store.get(snapshot, caller.project_id, comparison_id)  # before the work of reading a file
    added = await comparison_prompts.read(services, caller, body)
    async with audit.transaction(services.db) as session:
        comparison = await store.get(session, caller.project_id, comparison_id, locked=True)
        await store.add_prompts(session, comparison, added)
        found = await progress.of(session, comparison, services.settings)
    await services.doorbell.ring(comparison.id)
    return comparison_object(comparison, found)


@router.post("/{comparison_id}/gold")
async def add_gold(comparison_id: str, body: GoldCreate, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Add items whose right order is known. Annotators get them hidden among the others; they are never exported."""
    comparison = await store.get(session, project_id, comparison_id, locked=True)
    wanted = [
        (comparison_prompts.messages(item.prompt), [[each] if isinstance(each, str) else each for each in item.ranked])
        for item in body.items
    ]
    return listing(await checks.add_gold(session, comparison, wanted), item_object, False)


@router.delete("/{comparison_id}/gold/{item_id}")
async def delete_gold(comparison_id: str, item_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Delete a gold item and the votes on it."""
    comparison = await store.get(session, project_id, comparison_id, locked=True)
    deleted = await checks.delete_gold(session, comparison, item_id)
    return {"id": item_id, "object": "comparison.item", "deleted": True, "deleted_votes": deleted}

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query

from api import audit, comparison_design, comparison_prompts
from api.deps import Caller, ProjectId, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.comparison import ComparisonCreate, comparison_object
from fettle.comparisons import annotators, progress, results, store
from fettle.tenancy import scopes

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])

Limit = Annotated[int, Query(ge=1, le=100)]


@router.post("")
async def create(body: ComparisonCreate, caller: Caller, services: Services) -> dict[str, Any]:
    """Compare responses by votes of people. A worker generates the responses; items can be voted on as they come."""
    scopes.need(caller.scopes, "chat")  # it shows what models answer
    prompts = await comparison_prompts.read(services, caller, body)
    async with audit.transaction(services.db) as session:
        wanted = await comparison_design.wanted(
            session, services, caller, body, name=body.name, models=body.models, prompts=prompts
        )
        comparison = await store.create(session, caller.project_id, wanted)
        found = await progress.of(session, comparison, services.settings)
        audit.made(comparison.id)
    await services.doorbell.ring(comparison.id)
    return comparison_object(comparison, found)


@router.get("")
async def newest(
    project_id: ProjectId, services: Services, session: Snapshot, after: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    rows, has_more = await store.newest(session, project_id, after=after, limit=limit)
    found = await progress.of_all(session, rows, services.settings)
    return listing(rows, lambda row: comparison_object(row, found[row.id]), has_more)


@router.get("/{comparison_id}")
async def retrieve(comparison_id: str, project_id: ProjectId, services: Services, session: Snapshot) -> dict[str, Any]:
    comparison = await store.get(session, project_id, comparison_id)
    return comparison_object(comparison, await progress.of(session, comparison, services.settings))


@router.delete("/{comparison_id}")
async def delete(comparison_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """With its responses, votes and annotators. Files that were exported stay."""
    await store.delete_all(session, project_id, comparison_id)
    return {"id": comparison_id, "object": "comparison", "deleted": True}


@router.get("/{comparison_id}/results")
async def show_results(comparison_id: str, project_id: ProjectId, services: Services) -> dict[str, Any]:
    """Agreement, strengths of the models, and figures of each annotator."""
    async with services.db.snapshot() as session:
        comparison = await store.get(session, project_id, comparison_id)
        material = await results.material(session, comparison)
        names = {row.id: row.name for row in await annotators.everyone(session, comparison)}
    content = orjson.dumps(material)
    found = orjson.loads(await services.statistics.of(project_id, content))
    for each in found["annotators"]:
        each["name"] = names.get(each["annotator_id"])
    return {"object": "comparison.results", "comparison_id": comparison.id, **found}

import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api import audit, isolation
from api.deps import Caller, ProjectId, Room, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.evaluation import (
    EvalCreate,
    EvalUpdate,
    RunCreate,
    Sampled,
    eval_object,
    item_object,
    run_object,
)
from fettle import queue
from fettle.errors import InvalidRequest
from fettle.evals import criteria, rows, store
from fettle.inference import client, judge_models
from fettle.inference.client import Servable
from fettle.tenancy import scopes

router = APIRouter(prefix="/v1/evals", tags=["evals"])

Limit = Annotated[int, Query(ge=1, le=100)]
Order = Literal["asc", "desc"]


@router.post("")
async def create(body: EvalCreate, services: Services, project_id: ProjectId) -> dict[str, Any]:
    """Define a task: the shape of its rows, and the graders that judge the answers."""
    graders, thresholds = criteria.split(body.testing_criteria)
    try:
        checked = await isolation.graders(services.pool, project_id, {"reward_functions": graders}, sources=False)
    except InvalidRequest as error:
        error.param = (error.param or "").replace("reward_functions", criteria.WHERE) or None
        raise
    async with audit.transaction(services.db) as session:
        made = await store.create(
            session,
            project_id,
            name=body.name,
            labels=body.metadata,
            data_source_config={"asked": body.data_source_config.model_dump()},
            testing_criteria=criteria.joined(checked, thresholds),
        )
        audit.made(made.id)
    return eval_object(made)


@router.get("")
async def evals(
    project_id: ProjectId,
    session: Snapshot,
    after: str | None = None,
    limit: Limit = 20,
    order: Order = "asc",
    order_by: Literal["created_at", "updated_at"] = "created_at",
) -> dict[str, Any]:
    found, has_more = await store.evals(
        session,
        project_id,
        by_change=order_by == "updated_at",
        after=after,
        limit=limit,
        newest_first=order == "desc",
    )
    return listing(found, eval_object, has_more)


@router.get("/{eval_id}")
async def retrieve(eval_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    return eval_object(await store.get(session, project_id, eval_id))


@router.post("/{eval_id}")
async def update(eval_id: str, body: EvalUpdate, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Change the name or the metadata. What you do not send stays as it is."""
    found = await store.get(session, project_id, eval_id, lock=True)
    if body.name is not None:
        found.name = body.name
    if body.metadata is not None:
        found.labels = dict(body.metadata)
    found.updated_at = time.time()
    return eval_object(found)


@router.delete("/{eval_id}", dependencies=[Room])
async def delete(eval_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """With its runs and their output items."""
    await store.remove(session, project_id, eval_id)
    return {"object": "eval.deleted", "deleted": True, "eval_id": eval_id}


@router.post("/{eval_id}/runs")
async def create_run(
    eval_id: str, body: RunCreate, services: Services, caller: Caller, session: Transaction
) -> dict[str, Any]:
    """Have a model answer rows in the background, and grade the answers. Chats go first."""
    project_id, source = caller.project_id, body.data_source
    of = await store.get(session, project_id, eval_id)
    model: str | None = None
    servables: dict[str, Servable] = {}
    sampling: dict[str, Any] = {}
    graders = criteria.graders_of(of.testing_criteria)
    if isinstance(source, Sampled):
        scopes.need(caller.scopes, "chat")
        messages = source.messages()
        if source.model is not None:
            rows.check_messages(messages.model_dump())
            source.input_messages, model = messages, source.model
            servables[model] = await client.find(
                session, project_id, services.aliases.get(model, model), services.models
            )
            sampling = source.sampling_params.for_engine() if source.sampling_params else {}
    found = await judge_models.find(session, project_id, graders, services.models, services.aliases, criteria.WHERE)
    if found:
        scopes.need(caller.scopes, "chat")
    asked = source.model_dump(by_alias=True, exclude_none=True)
    run = await store.add_run(
        session,
        project_id,
        eval_id,
        name=body.name,
        labels=body.metadata,
        data_source={"asked": asked, "sampling": sampling},
        model=model,
        servables={name: asdict(servable) for name, servable in (servables | found).items()},
    )
    queue.ring_after_commit(session, run.id)
    return run_object(run)


@router.get("/{eval_id}/runs")
async def runs(
    eval_id: str,
    project_id: ProjectId,
    session: Snapshot,
    after: str | None = None,
    limit: Limit = 20,
    order: Order = "asc",
    status: Literal["queued", "in_progress", "completed", "canceled", "failed"] | None = None,
) -> dict[str, Any]:
    of = await store.get(session, project_id, eval_id)
    found, has_more = await store.runs(
        session, of, status=status, after=after, limit=limit, newest_first=order == "desc"
    )
    return listing(found, run_object, has_more)


@router.get("/{eval_id}/runs/{run_id}")
async def retrieve_run(eval_id: str, run_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    return run_object(await store.get_run(session, project_id, eval_id, run_id))


@router.post("/{eval_id}/runs/{run_id}/cancel", dependencies=[Room])
@router.post("/{eval_id}/runs/{run_id}", dependencies=[Room])  # as the SDK 1.x calls it
async def cancel(eval_id: str, run_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Cancel a run. Its output items so far stay."""
    return run_object(await store.cancel(session, project_id, eval_id, run_id))


@router.delete("/{eval_id}/runs/{run_id}", dependencies=[Room])
async def delete_run(eval_id: str, run_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    await store.remove_run(session, project_id, eval_id, run_id)
    return {"object": "eval.run.deleted", "deleted": True, "run_id": run_id}


@router.get("/{eval_id}/runs/{run_id}/output_items")
async def items(
    eval_id: str,
    run_id: str,
    project_id: ProjectId,
    session: Snapshot,
    after: str | None = None,
    limit: Limit = 20,
    order: Order = "asc",
    status: Literal["fail", "pass"] | None = None,
) -> dict[str, Any]:
    """What came of each row, in the order of the rows."""
    run = await store.get_run(session, project_id, eval_id, run_id)
    found, has_more = await store.items(
        session, run, status=status, after=after, limit=limit, newest_first=order == "desc"
    )
    return listing(found, lambda item: item_object(item, run), has_more)


@router.get("/{eval_id}/runs/{run_id}/output_items/{output_item_id}")
async def retrieve_item(
    eval_id: str, run_id: str, output_item_id: str, project_id: ProjectId, session: Snapshot
) -> dict[str, Any]:
    run = await store.get_run(session, project_id, eval_id, run_id)
    return item_object(await store.get_item(session, run, output_item_id), run)

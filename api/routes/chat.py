from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from api import generation, queries
from api.deps import ProjectId, Room, Services, Snapshot, Transaction
from api.generation import Relay
from api.pagination import listing
from api.streams.chunks import start_reading, unless_gone
from api.streams.kept_chunks import kept
from fettle.errors import InvalidRequest
from fettle.inference import stored_completions
from fettle.inference.requests.chat import ChatRequest
from fettle.schemas.labels import Labels
from fettle.schemas.strict import Strict
from fettle.tenancy import quotas
from models import StoredCompletion

router = APIRouter(prefix="/v1/chat/completions", tags=["chat"])

Limit = Annotated[int, Query(ge=1, le=100)]
Order = Literal["asc", "desc"]


class CompletionUpdate(Strict):
    metadata: Labels | None


@router.post("")
async def create(body: ChatRequest, request: Request, project_id: ProjectId, services: Services) -> Relay:
    """Chat with a base model, a tuned model or a checkpoint. An unknown model returns 404."""
    servable = await generation.find(services, project_id, body.model)
    if body.store:
        async with services.db.snapshot() as session:
            await stored_completions.refuse_unless_wanted(session, project_id)
            await quotas.admit_answer(session, project_id, quotas.defaults(services.settings))
    asked = body.for_engine()
    answer = await unless_gone(request, generation.ask(services, servable, asked))
    if not body.store or answer.status != 200:
        return Relay(answer)

    async def keep(completion: dict[str, Any]) -> None:
        question: dict[str, Any] = {name: asked[name] for name in ("messages", "tools") if name in asked}
        async with services.db.transaction() as session:
            stored_completions.add(session, project_id, servable.name, question, completion, body.metadata)

    return Relay(answer, kept(answer.body, asked.get("stream") is True, keep), answer.headers)


def completion_object(row: StoredCompletion) -> dict[str, Any]:
    return {**row.body, "metadata": row.labels}


@router.get("")
async def listed(
    request: Request,
    project_id: ProjectId,
    session: Snapshot,
    model: str | None = None,
    metadata: Literal["null"] | None = None,
    after: str | None = None,
    limit: Limit = 20,
    order: Order = "asc",
) -> dict[str, Any]:
    """Stored completions. `metadata[k]=v` keeps those with that label."""
    rows, has_more = await stored_completions.listed(
        session,
        project_id,
        model=model,
        labels=queries.labels(request),
        after=after,
        limit=limit,
        newest_first=order == "desc",
    )
    return listing(rows, completion_object, has_more)


@router.get("/export", response_model=None)
async def export(
    request: Request,
    project_id: ProjectId,
    services: Services,
    model: str | None = None,
    metadata: Literal["null"] | None = None,
) -> Response:
    """Stored completions as a dataset, a line of JSON each: what was asked and answered, oldest first."""
    lines = stored_completions.rows(services.db, project_id, model, queries.labels(request))
    headers = {"content-disposition": 'attachment; filename="completions.jsonl"'}
    return StreamingResponse(await start_reading(lines), media_type="application/jsonl", headers=headers)


@router.get("/{completion_id}")
async def retrieve(completion_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    """A stored completion, as it was answered."""
    return completion_object(await stored_completions.get(session, project_id, completion_id))


@router.post("/{completion_id}")
async def update(
    completion_id: str, body: CompletionUpdate, project_id: ProjectId, session: Transaction
) -> dict[str, Any]:
    """Change the metadata of a stored completion."""
    row = await stored_completions.get(session, project_id, completion_id, lock=True)
    row.labels = None if body.metadata is None else dict(body.metadata)
    return completion_object(row)


@router.delete("/{completion_id}", dependencies=[Room])
async def delete(completion_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    await stored_completions.delete(session, project_id, completion_id)
    return {"id": completion_id, "object": "chat.completion.deleted", "deleted": True}


@router.get("/{completion_id}/messages")
async def messages(
    completion_id: str,
    project_id: ProjectId,
    session: Snapshot,
    after: str | None = None,
    limit: Limit = 20,
    order: Order = "asc",
) -> dict[str, Any]:
    """The messages that a stored completion answers."""
    row = await stored_completions.get(session, project_id, completion_id)
    found = [{"id": f"{completion_id}-{number}", **each} for number, each in enumerate(row.asked["messages"])]
    if order == "desc":
        found.reverse()
    places = [place for place, message in enumerate(found) if message["id"] == after]
    if after is not None and not places:
        raise InvalidRequest(
            f"Invalid value for 'after': {after!r}. Use the last id of the page before.", param="after"
        )
    found = found[places[0] + 1 :] if places else found
    return listing(found[:limit], lambda message: message, len(found) > limit)

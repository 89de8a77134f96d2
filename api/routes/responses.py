from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from api import generation
from api.deps import AppState, ProjectId, Room, Services, Snapshot, Transaction
from api.generation import Relay
from api.streams import response_events
from api.streams.chunks import unless_gone
from fettle.errors import InvalidRequest
from fettle.inference import client, stored_responses
from fettle.inference.requests import response
from fettle.inference.requests.response import ResponseCreate
from fettle.inference.requests.response_answer import Answer
from fettle.tenancy import quotas

router = APIRouter(prefix="/v1/responses", tags=["chat"])


@router.post("")
async def create(body: ResponseCreate, request: Request, project_id: ProjectId, services: Services) -> Response:
    """Text or function calls, by the engine's chat route. Stored unless `store` is false."""
    servable = await generation.find(services, project_id, body.model)
    asked = body.for_engine(await earlier(body, project_id, services))
    if stored := is_stored(body, services):
        async with services.db.snapshot() as session:
            await quotas.admit_answer(session, project_id, quotas.defaults(services.settings))

    async def ask() -> tuple[client.Answer, bytes]:
        answer = await generation.ask(services, servable, asked)
        streams = body.stream and answer.status == 200
        return answer, b"" if streams else b"".join([chunk async for chunk in answer.body])

    answer, content = await unless_gone(request, ask())
    made = Answer(body, servable.name, stored=stored)

    async def keep() -> None:
        if made.stored:
            async with services.db.transaction() as session:
                before = body.previous_response_id
                stored_responses.add(session, project_id, previous_id=before, input=body.items(), body=made.body())

    if answer.status != 200:
        return engine_refusal(answer, content)
    if body.stream:
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        return Relay(answer, response_events.as_events(made, answer.body, keep), headers)
    made.read(orjson.loads(content))
    await keep()
    return JSONResponse(made.body())


def is_stored(body: ResponseCreate, services: AppState) -> bool:
    """Raises InvalidRequest where the operator stores nothing and the request insists."""
    if services.settings.response_days > 0:
        return body.is_stored
    if body.store:
        raise nothing_is_stored("store")
    return False


async def earlier(body: ResponseCreate, project_id: str, services: AppState) -> list[Any]:
    """The items of the conversation that the request goes on with. Raises NotFound, InvalidRequest."""
    is_stored(body, services)
    if body.previous_response_id is None:
        return []
    if services.settings.response_days <= 0:
        raise nothing_is_stored("previous_response_id")
    async with services.db.snapshot() as session:
        rows = await stored_responses.conversation(
            session,
            project_id,
            body.previous_response_id,
            services.settings.max_body_bytes,
            param="previous_response_id",
        )
        items = [*response.items_of(rows), *rows[-1].body["output"]]
    return response.read_back(items)


def nothing_is_stored(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"Responses are not stored on this server (FETTLE_RESPONSE_DAYS is 0). Remove {param!r}, and send the earlier "
        "messages in 'input'.",
        param=param,
    )


@router.get("/{response_id}")
async def retrieve(response_id: str, project_id: ProjectId, session: Snapshot) -> JSONResponse:
    """A stored response, as it was answered."""
    return JSONResponse((await stored_responses.get(session, project_id, response_id)).body)


@router.delete("/{response_id}", dependencies=[Room])
async def delete(response_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Delete a stored response. Those that continue it can no longer be continued."""
    await stored_responses.delete(session, project_id, response_id)
    return response.deleted_object(response_id)


@router.get("/{response_id}/input_items")
async def input_items(
    response_id: str,
    project_id: ProjectId,
    services: Services,
    session: Snapshot,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> JSONResponse:
    """What a stored response was asked with, earlier responses included; newest first."""
    rows = await stored_responses.conversation(session, project_id, response_id, services.settings.max_body_bytes)
    items = response.items_of(rows)
    if order == "desc":
        items.reverse()
    if after is not None:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise InvalidRequest(
                f"Invalid value for 'after': {after!r}. Use the last id of the page before.", param="after"
            )
        items = items[places[0] + 1 :]
    shown = items[:limit]
    return JSONResponse(
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": len(items) > limit,
        }
    )


def engine_refusal(answer: client.Answer, content: bytes) -> Response:
    """The engine's refusal; what is not in OpenAI's shape is passed on as it is."""
    headers = {name: value for name, value in answer.headers.items() if name != "content-type"}
    try:
        return JSONResponse(response.refusal(orjson.loads(content)), answer.status, headers)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Response(content, answer.status, answer.headers)

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api import generation
from api.deps import ProjectId, Services
from api.generation import Relay
from api.streams import response_events
from api.streams.chunks import unless_gone
from fettle.inference import client
from fettle.inference.requests import response
from fettle.inference.requests.response import ResponseCreate

router = APIRouter(prefix="/v1/responses", tags=["chat"])


@router.post("")
async def create(body: ResponseCreate, request: Request, project_id: ProjectId, services: Services) -> Response:
    """Text or function calls, by the engine's chat route; nothing is stored."""
    servable = await generation.find(services, project_id, body.model)

    async def ask() -> tuple[client.Answer, bytes]:
        answer = await generation.ask(services, servable, body.for_engine())
        streams = body.stream and answer.status == 200
        return answer, b"" if streams else b"".join([chunk async for chunk in answer.body])

    answer, content = await unless_gone(request, ask())
    if answer.status != 200:
        return engine_refusal(answer, content)
    if body.stream:
        made = response.Answer(body, servable.name)
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        return Relay(answer, response_events.as_events(made, answer.body), headers)
    return JSONResponse(response.of_completion(body, servable.name, orjson.loads(content)))


def engine_refusal(answer: client.Answer, content: bytes) -> Response:
    """The engine's refusal; what is not in OpenAI's shape is passed on as it is."""
    headers = {name: value for name, value in answer.headers.items() if name != "content-type"}
    try:
        return JSONResponse(response.refusal(orjson.loads(content)), answer.status, headers)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Response(content, answer.status, answer.headers)

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from api.deps import Held, ProjectId, Services
from api.schemas.chat import ChatRequest
from api.streaming import unless_gone
from fettle import metrics, serving
from fettle.errors import Unavailable
from fettle.serving import Answer, Servable

router = APIRouter(prefix="/v1/chat/completions", tags=["chat"])


@router.post("")
async def create(body: ChatRequest, request: Request, project_id: ProjectId, held: Held) -> StreamingResponse:
    """Chat with a base model, a tuned model or a checkpoint; an unknown one is 404, never silently the base."""
    servable = await find(held, project_id, body.model)
    answer = await unless_gone(request, ask(held, servable, body.for_engine()))
    return StreamingResponse(answer.body, answer.status, answer.headers)


async def find(held: Services, project_id: str, name: str) -> Servable:
    """What a model's name or alias means to this project. Raises NotFound."""
    async with held.db.snapshot() as session:
        return await serving.find(session, project_id, held.aliases.get(name, name), held.models)


async def ask(held: Services, servable: Servable, body: dict[str, Any]) -> Answer:
    """The engine's answer, counted. Raises Unavailable."""
    try:
        answer = await held.engine.chat(servable, body)
    except Unavailable:
        metrics.chats.labels("unavailable").inc()
        raise
    metrics.chats.labels("answered" if answer.status < 400 else "refused").inc()
    return answer

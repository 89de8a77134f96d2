from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from api.deps import Held, ProjectId
from fettle import metrics, serving
from fettle.errors import Unavailable

router = APIRouter(prefix="/v1/chat/completions", tags=["chat"])


class ChatRequest(BaseModel):
    """The engine checks the rest: it knows what it can honour."""

    model_config = ConfigDict(extra="allow")
    model: str


@router.post("")
async def create(body: ChatRequest, project_id: ProjectId, held: Held) -> StreamingResponse:
    """Chat with a base model, a tuned model or a checkpoint; an unknown one is 404, never silently the base."""
    async with held.db.snapshot() as session:
        servable = await serving.find(session, project_id, body.model, held.models)
    try:
        answer = await held.engine.chat(servable, body.model_dump())
    except Unavailable:
        metrics.chats.labels("unavailable").inc()
        raise
    metrics.chats.labels("answered" if answer.status < 400 else "refused").inc()
    return StreamingResponse(answer.body, answer.status, answer.headers)

from fastapi import APIRouter, Request

from api import generation
from api.deps import Held, ProjectId
from api.generation import Relayed
from api.schemas.chat import ChatRequest
from api.streaming import unless_gone

router = APIRouter(prefix="/v1/chat/completions", tags=["chat"])


@router.post("")
async def create(body: ChatRequest, request: Request, project_id: ProjectId, held: Held) -> Relayed:
    """Chat with a base model, a tuned model or a checkpoint; an unknown one is 404, never silently the base."""
    servable = await generation.find(held, project_id, body.model)
    return Relayed(await unless_gone(request, generation.ask(held, servable, body.for_engine())))

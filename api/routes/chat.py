from fastapi import APIRouter, Request

from api import generation
from api.deps import ProjectId, Services
from api.generation import Relay
from api.streams.chunks import unless_gone
from fettle.inference.requests.chat import ChatRequest

router = APIRouter(prefix="/v1/chat/completions", tags=["chat"])


@router.post("")
async def create(body: ChatRequest, request: Request, project_id: ProjectId, services: Services) -> Relay:
    """Chat with a base model, a tuned model or a checkpoint. An unknown model returns 404."""
    servable = await generation.find(services, project_id, body.model)
    return Relay(await unless_gone(request, generation.ask(services, servable, body.for_engine())))

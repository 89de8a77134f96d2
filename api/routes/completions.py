from fastapi import APIRouter, Request

from api import generation
from api.deps import ProjectId, Services
from api.generation import Relay
from api.streams.chunks import unless_gone
from fettle.inference import client
from fettle.inference.requests.completion import CompletionRequest

router = APIRouter(prefix="/v1/completions", tags=["chat"])


@router.post("")
async def create(body: CompletionRequest, request: Request, project_id: ProjectId, services: Services) -> Relay:
    """OpenAI's older route, which continues a raw prompt without the chat template."""
    servable = await generation.find(services, project_id, body.model)
    answer = generation.ask(services, servable, body.for_engine(), client.COMPLETIONS)
    return Relay(await unless_gone(request, answer))

from fastapi import APIRouter, Request

from api import generation
from api.deps import Held, ProjectId
from api.generation import Relayed
from api.schemas.completion import CompletionRequest
from api.streaming import unless_gone
from fettle.inference import client

router = APIRouter(prefix="/v1/completions", tags=["chat"])


@router.post("")
async def create(body: CompletionRequest, request: Request, project_id: ProjectId, held: Held) -> Relayed:
    """OpenAI's older route: goes on from a raw prompt, without the chat template."""
    servable = await generation.find(held, project_id, body.model)
    asked = generation.ask(held, servable, body.for_engine(), client.COMPLETIONS)
    return Relayed(await unless_gone(request, asked))

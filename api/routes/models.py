from typing import Any

from fastapi import APIRouter

from api.deps import Held, ProjectId, Room, Snapshot
from api.schemas.job import deleted_object
from fettle.errors import InvalidRequest
from fettle.registry import tuned_models
from fettle.storage import deletions

router = APIRouter(prefix="/v1/models", tags=["models"])

BASE_CREATED = 1_795_305_600  # base models have no row: the day of Fettle's first release


def model_object(name: str, created: float, owner: str, kind: str = tuned_models.CHAT) -> dict[str, Any]:
    """kind, ours: chat, or reward_model for one that only scores."""
    return {"id": name, "object": "model", "created": int(created), "owned_by": owner, "kind": kind}


@router.get("")
async def newest(project_id: ProjectId, session: Snapshot, held: Held) -> dict[str, Any]:
    """Base models, then the project's tuned models."""
    tuned = await tuned_models.newest(session, project_id)
    data = [model_object(name, BASE_CREATED, "fettle") for name in held.models]
    data += [model_object(model.name, model.created_at, project_id, model.kind) for model in tuned]
    return {"object": "list", "data": data}


@router.get("/{model:path}")
async def retrieve(model: str, project_id: ProjectId, session: Snapshot, held: Held) -> dict[str, Any]:
    """An alias answers with the base model that it means."""
    model = held.aliases.get(model, model)
    if model in held.models:
        return model_object(model, BASE_CREATED, "fettle")
    row = await tuned_models.find(session, project_id, model)
    kind = tuned_models.CHAT if await tuned_models.chats(session, row) else tuned_models.REWARD_MODEL
    return model_object(model, row.created_at, project_id, kind)


@router.delete("/{model:path}", dependencies=[Room])
async def delete(model: str, project_id: ProjectId, held: Held) -> dict[str, Any]:
    if model in held.models or model in held.aliases:
        raise InvalidRequest(
            f"{model!r} is a base model: the operator's catalog and aliases decide about it.", param="model"
        )
    async with held.db.transaction() as session:
        row = await tuned_models.delete(session, project_id, model)
        await deletions.plan(session, row.prefix)
    await deletions.carry_out(held.db, held.storage, row.prefix)
    await held.engine.forget(model)
    return deleted_object(model, "model")

from typing import Any

from fastapi import APIRouter

from api.deps import ProjectId, Room, Services, Snapshot
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
async def newest(project_id: ProjectId, session: Snapshot, services: Services) -> dict[str, Any]:
    """Base models, then the project's tuned models."""
    tuned = await tuned_models.newest(session, project_id)
    data = [model_object(name, BASE_CREATED, "fettle") for name in services.models]
    data += [model_object(model.name, model.created_at, project_id, model.kind) for model in tuned]
    return {"object": "list", "data": data}


@router.get("/{model:path}")
async def retrieve(model: str, project_id: ProjectId, session: Snapshot, services: Services) -> dict[str, Any]:
    """An alias returns the base model that it stands for."""
    model = services.aliases.get(model, model)
    if model in services.models:
        return model_object(model, BASE_CREATED, "fettle")
    row = await tuned_models.find(session, project_id, model)
    kind = tuned_models.CHAT if await tuned_models.chats(session, row) else tuned_models.REWARD_MODEL
    return model_object(model, row.created_at, project_id, kind)


@router.delete("/{model:path}", dependencies=[Room])
async def delete(model: str, project_id: ProjectId, services: Services) -> dict[str, Any]:
    if model in services.models or model in services.aliases:
        raise InvalidRequest(
            f"{model!r} is a base model or an alias and cannot be deleted. Ask the operator to change the catalog.",
            param="model",
        )
    async with services.db.transaction() as session:
        row = await tuned_models.delete(session, project_id, model)
        await deletions.plan(session, row.prefix)
    await deletions.carry_out(services.db, services.storage, row.prefix)
    await services.engine.forget(model)
    return deleted_object(model, "model")

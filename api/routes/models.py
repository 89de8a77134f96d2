import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from api import audit
from api.deps import Caller, ProjectId, Room, Services, Snapshot
from api.schemas.base_model import BaseModelCreate, about
from api.schemas.job import deleted_object
from fettle.errors import InvalidRequest, TrainingFailed
from fettle.jobs import capabilities
from fettle.registry import base_models, catalog, tuned_models
from fettle.registry.catalog import BaseModelEntry
from fettle.storage import deletions
from fettle.tenancy import scopes
from models import Checkpoint, TunedModel

router = APIRouter(prefix="/v1/models", tags=["models"])

BASE_CREATED = 1_795_305_600  # base models have no row: the day of Fettle's first release


def model_object(
    name: str, created: float, owner: str, kind: str = tuned_models.CHAT, created_by: str | None = None
) -> dict[str, Any]:
    """kind, ours: chat, or reward_model for one that only scores. created_by, ours: the API key of its job."""
    known = {"id": name, "object": "model", "created": int(created), "owned_by": owner, "kind": kind}
    return {**known, "created_by": created_by}


@router.get("")
async def newest(project_id: ProjectId, session: Snapshot, services: Services) -> dict[str, Any]:
    """Base models, then the project's tuned models."""
    tuned = await tuned_models.newest(session, project_id)
    data = [model_object(name, BASE_CREATED, "fettle") for name in services.models]
    data += [model_object(each.name, each.created_at, project_id, each.kind, each.created_by) for each in tuned]
    return {"object": "list", "data": data}


@router.post("")
async def add(body: BaseModelCreate, services: Services) -> dict[str, Any]:
    """Add a base model from a folder on the server, or from the hub's cache there. It can be used at once.

    Its size, length, licence and template are read from its files; a model that no job could train is refused.
    """
    entry = body.entry()
    name = body.name or (entry.hub or Path(str(entry.path)).name).rpartition("/")[2].lower()
    entry, facts = await asyncio.to_thread(base_models.describe, entry)
    await capabilities.check(name, entry)
    found = await asyncio.to_thread(capabilities.limits, catalog.folder_of(entry))
    await asyncio.to_thread(base_models.add, services.settings, name, entry)
    services.models.refresh()
    return {**model_object(name, BASE_CREATED, "fettle"), "base": about(entry, facts, found)}


@router.get("/{model:path}")
async def retrieve(model: str, project_id: ProjectId, session: Snapshot, services: Services) -> dict[str, Any]:
    """An alias returns the base model that it stands for."""
    model = services.aliases.get(model, model)
    if (entry := services.models.get(model)) is not None:
        return {**model_object(model, BASE_CREATED, "fettle"), "base": await described(entry)}
    row = await tuned_models.usable(session, project_id, model)
    kind = tuned_models.CHAT if await tuned_models.chats(session, row) else tuned_models.REWARD_MODEL
    return model_object(model, row.created_at, row.project_id, kind, maker_of(row, project_id))


def maker_of(row: TunedModel | Checkpoint, project_id: str) -> str | None:
    """A model that is shared does not name another project's key."""
    return row.created_by if isinstance(row, TunedModel) and row.project_id == project_id else None


async def described(entry: BaseModelEntry) -> dict[str, Any]:
    """What is known of a base model; of one whose files are not on this machine, its entry."""
    try:
        entry, facts = await asyncio.to_thread(base_models.describe, entry)
        return about(entry, facts, await asyncio.to_thread(capabilities.limits, catalog.folder_of(entry)))
    except (InvalidRequest, TrainingFailed, OSError):
        return about(entry, None, [])


@router.delete("/{model:path}", dependencies=[Room])
async def delete(model: str, project_id: ProjectId, caller: Caller, services: Services) -> dict[str, Any]:
    """Delete a tuned model or a checkpoint. With the scope `admin`, also remove a base model that nothing needs."""
    if model in services.aliases:
        raise InvalidRequest(f"{model!r} is an alias. Ask the operator to change FETTLE_MODEL_ALIASES.", param="model")
    if model in services.models:
        scopes.need(caller.scopes, scopes.ADMIN)
        async with services.db.snapshot() as session:
            await base_models.refuse_in_use(session, model)
        await asyncio.to_thread(base_models.remove, services.settings, model)
        services.models.refresh()
        return deleted_object(model, "model")
    async with audit.transaction(services.db) as session:
        row = await tuned_models.delete(session, project_id, model)
        await deletions.plan(session, row.prefix)
    await deletions.carry_out(services.db, services.storage, row.prefix)
    await services.engine.forget(model)
    return deleted_object(model, "model")

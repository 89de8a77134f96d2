from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api.deps import ProjectId, Snapshot, Transaction
from api.pagination import listing
from fettle.registry import checkpoint_permissions
from fettle.schemas.strict import Strict
from models import CheckpointPermission

router = APIRouter(prefix="/v1/fine_tuning/checkpoints", tags=["models"])

OBJECT = "checkpoint.permission"


class PermissionsCreate(Strict):
    project_ids: Annotated[list[str], Field(min_length=1, max_length=checkpoint_permissions.PERMISSIONS_AT_MOST)]


def permission_object(row: CheckpointPermission) -> dict[str, Any]:
    return {"id": row.id, "object": OBJECT, "created_at": int(row.created_at), "project_id": row.project_id}


@router.post("/{model:path}/permissions")
async def create(model: str, body: PermissionsCreate, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Let other projects ask a tuned model or a checkpoint of yours. They can neither train on it nor delete it."""
    rows = await checkpoint_permissions.create(session, project_id, model, body.project_ids)
    return listing(rows, permission_object, has_more=False)


@router.get("/{model:path}/permissions")
async def of_model(
    model: str,
    caller: ProjectId,
    session: Snapshot,
    project_id: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    order: Literal["ascending", "descending"] = "descending",
) -> dict[str, Any]:
    """Who may ask a model of yours."""
    rows, has_more = await checkpoint_permissions.of_model(
        session,
        caller,
        model,
        project_id=project_id,
        after=after,
        limit=limit,
        newest_first=order == "descending",
    )
    return listing(rows, permission_object, has_more)


@router.delete("/{model:path}/permissions/{permission_id}")
async def revoke(model: str, permission_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    await checkpoint_permissions.revoke(session, project_id, model, permission_id)
    return {"id": permission_id, "object": OBJECT, "deleted": True}

"""Permissions of other projects to ask a tuned model or a checkpoint. They can do nothing else with it."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.db import lock
from fettle.errors import InvalidRequest, NotFound
from fettle.pagination import page
from fettle.registry import tuned_models
from models import CheckpointPermission, Project

PERMISSIONS_AT_MOST = 100  # of a model


async def create(
    session: AsyncSession, owner_id: str, model: str, project_ids: Sequence[str]
) -> list[CheckpointPermission]:
    """Twice is as good as once. Raises NotFound for a model that is not the owner's, InvalidRequest for no project."""
    await lock(session, f"{model} permissions")
    await tuned_models.find(session, owner_id, model)
    statement = select(CheckpointPermission).where(CheckpointPermission.model == model)
    known = {row.project_id: row for row in await session.scalars(statement)}
    if len(known.keys() | set(project_ids)) > PERMISSIONS_AT_MOST:
        raise InvalidRequest(
            f"A model can have {PERMISSIONS_AT_MOST} permissions. Delete some first.", param="project_ids"
        )
    for project_id in dict.fromkeys(project_ids):
        if project_id in known:
            continue
        if await session.get(Project, project_id) is None:
            raise InvalidRequest(f"The project {project_id!r} does not exist.", param="project_ids")
        known[project_id] = CheckpointPermission(
            id=ids.new("cp_"), model=model, owner_id=owner_id, project_id=project_id
        )
        session.add(known[project_id])
    await session.flush()
    return [known[project_id] for project_id in dict.fromkeys(project_ids)]


async def of_model(
    session: AsyncSession,
    owner_id: str,
    model: str,
    *,
    project_id: str | None,
    after: str | None,
    limit: int,
    newest_first: bool,
) -> tuple[list[CheckpointPermission], bool]:
    """Raises NotFound for a model that is not the owner's."""
    await tuned_models.find(session, owner_id, model)
    statement = select(CheckpointPermission).where(CheckpointPermission.model == model)
    if project_id is not None:
        statement = statement.where(CheckpointPermission.project_id == project_id)
    order = (CheckpointPermission.created_at, CheckpointPermission.id)
    identity = CheckpointPermission.id
    return await page(session, statement, order, identity, after=after, limit=limit, newest_first=newest_first)


async def revoke(session: AsyncSession, owner_id: str, model: str, permission_id: str) -> None:
    """Raises NotFound."""
    await tuned_models.find(session, owner_id, model)
    chosen = (CheckpointPermission.id == permission_id, CheckpointPermission.model == model)
    done = await session.execute(delete(CheckpointPermission).where(*chosen).returning(CheckpointPermission.id))
    if done.scalar() is None:
        raise NotFound(f"{model!r} has no permission {permission_id!r}.", param="permission_id")

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession

from api import audit
from api.deps import Caller, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.project import ProjectChange, ProjectCreate, project_object
from fettle.errors import Conflict
from fettle.storage import deletions, usage
from fettle.tenancy import permissions, project_deletion, projects, quotas
from models import Project

AT_ONCE = 20  # objects of a deleted project that are gone when the request is answered

router = APIRouter(prefix="/v1/projects", tags=["projects"])


@router.get("")
async def newest(
    caller: Caller,
    session: Snapshot,
    services: Services,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """All projects for an admin, otherwise the key's own."""
    defaults = quotas.defaults(services.settings)
    rows, has_more = await projects.newest(session, permissions.confined_to(caller), after=after, limit=limit)
    return listing(rows, lambda project: project_object(project, defaults), has_more)


@router.post("")
async def create(body: ProjectCreate, session: Transaction, services: Services) -> dict[str, Any]:
    project = await projects.create(session, body.name)
    audit.made(project.id)
    if body.quotas is not None:
        body.quotas.apply(project)
    return project_object(project, quotas.defaults(services.settings))


@router.get("/{project_id}")
async def retrieve(project_id: str, caller: Caller, session: Snapshot, services: Services) -> dict[str, Any]:
    """A project with its quotas, its usage and what it takes up in storage."""
    if permissions.confined_to(caller) not in (None, project_id):
        raise projects.unknown(project_id)
    project = await projects.get(session, project_id)
    return await with_usage(session, project, quotas.defaults(services.settings))


@router.post("/{project_id}")
async def change(project_id: str, body: ProjectChange, session: Transaction, services: Services) -> dict[str, Any]:
    """Change the name, quotas, or whether chats are stored on request. What you do not send stays as it is."""
    project = await projects.get(session, project_id)
    if body.name is not None and body.name != project.name:
        await projects.rename(session, project, body.name)
    if body.quotas is not None:
        body.quotas.apply(project)
    if body.stores_completions is not None:
        project.stores_completions = body.stores_completions
    return await with_usage(session, project, quotas.defaults(services.settings))


@router.delete("/{project_id}")
async def delete(project_id: str, caller: Caller, services: Services) -> dict[str, Any]:
    """Delete a project and everything in it: keys, files, jobs, models and comparisons. This cannot be undone."""
    async with audit.transaction(services.db) as session:
        project = await projects.get(session, project_id)
        if caller.project_id == project.id:
            raise Conflict(
                f"This API key belongs to the project {project.name!r}. Use a key of another project to delete it.",
                code="own_project",
            )
        keys = await project_deletion.remove(session, project)
    for key in keys[:AT_ONCE]:  # the rest goes with the next sweep
        await deletions.carry_out(services.db, services.storage, key)
    return {"id": project_id, "object": "project", "deleted": True}


async def with_usage(session: AsyncSession, project: Project, defaults: quotas.Limits) -> dict[str, Any]:
    used = await quotas.usage(session, project.id)
    stored = await usage.of_project(session, project.id)
    return {**project_object(project, defaults), "usage": used, "stored_bytes": stored}

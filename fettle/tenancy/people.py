"""People whom a company's sign-in names: the keys that belong to them."""

import shlex

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import Unauthenticated
from fettle.tenancy import api_keys
from models import ApiKey, Project


async def keys_of(session: AsyncSession, person: str) -> list[tuple[ApiKey, Project]]:
    """Of each project the newest live key whose owner has this name; upper and lower case are the same."""
    statement = (
        select(ApiKey, Project)
        .join(Project, Project.id == ApiKey.project_id)
        .where(func.lower(ApiKey.owner) == func.lower(person))
        .order_by(Project.name, ApiKey.created_at)
    )
    rows = [(key, project) for key, project in await session.execute(statement) if api_keys.state(key) == "live"]
    return list({project.id: (key, project) for key, project in rows}.values())


async def key_in(session: AsyncSession, person: str, project_id: str) -> ApiKey:
    """Raises Unauthenticated."""
    for key, project in await keys_of(session, person):
        if project.id == project_id:
            return key
    raise Unauthenticated(
        f"No live API key of the project {project_id!r} belongs to {person!r}. Ask an operator to run "
        f"`fettle keys create console --project NAME --owner {shlex.quote(person)}`.",
        code="person_without_key",
    )

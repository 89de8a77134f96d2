"""Projects: the tenants."""

import re

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.errors import InvalidRequest
from models import Project

DEFAULT = "default"


async def ensure(session: AsyncSession, name: str) -> Project:
    """The project with this name, made when there is none. The name becomes part of tuned models' names."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        raise InvalidRequest(
            f"The project name {name!r} may hold lower-case letters, digits and '-', at most 40.", param="project"
        )
    project = await session.scalar(select(Project).where(Project.name == name))
    if project is None:
        project = Project(id=ids.new("proj_"), name=name)
        session.add(project)
        await session.flush()
    return project

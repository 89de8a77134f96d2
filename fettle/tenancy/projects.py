"""Projects: the tenants."""

import re

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.pagination import page
from models import Project

DEFAULT = "default"


def check_name(name: str, param: str) -> None:
    """The name becomes part of tuned models' names. Raises InvalidRequest."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        raise InvalidRequest(
            f"The project name {name!r} is not valid. Use 1 to 40 lower-case letters, digits and '-', starting "
            "with a letter or digit.",
            param=param,
        )


async def ensure(session: AsyncSession, name: str) -> Project:
    """The project with this name, made when there is none."""
    check_name(name, "project")
    project = await session.scalar(select(Project).where(Project.name == name))
    if project is None:
        project = Project(id=ids.new("proj_"), name=name)
        session.add(project)
        await session.flush()
    return project


async def create(session: AsyncSession, name: str) -> Project:
    """Raises Conflict when the name is taken."""
    check_name(name, "name")
    project = Project(id=ids.new("proj_"), name=name)
    session.add(project)
    await flush(session, name)
    return project


async def rename(session: AsyncSession, project: Project, name: str) -> None:
    """Models that are tuned from now on carry the new name. Raises Conflict when it is taken."""
    check_name(name, "name")
    project.name = name
    await flush(session, name)


async def flush(session: AsyncSession, name: str) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        raise Conflict(
            f"A project named {name!r} already exists. Choose another name.", code="project_exists", param="name"
        ) from error


async def get(session: AsyncSession, project_id: str) -> Project:
    project = await session.get(Project, project_id)
    if project is None:
        raise unknown(project_id)
    return project


async def find(session: AsyncSession, name_or_id: str) -> Project:
    """For people, who know names. Raises NotFound."""
    project = await session.scalar(select(Project).where(or_(Project.name == name_or_id, Project.id == name_or_id)))
    if project is None:
        raise unknown(name_or_id)
    return project


async def newest(
    session: AsyncSession, only: str | None, *, after: str | None, limit: int
) -> tuple[list[Project], bool]:
    """A page of projects, newest first.

    only: the id of the one project that the asker may see; None for the operator, who sees all.
    """
    statement = select(Project)
    if only is not None:
        statement = statement.where(Project.id == only)
    return await page(session, statement, (Project.created_at, Project.id), Project.id, after=after, limit=limit)


async def everyone(session: AsyncSession) -> list[Project]:
    """All projects, oldest first: for the operator."""
    return list(await session.scalars(select(Project).order_by(Project.created_at, Project.id)))


def unknown(name: str) -> NotFound:
    return NotFound(f"The project {name!r} does not exist. `fettle projects list` shows all projects.", param="project")

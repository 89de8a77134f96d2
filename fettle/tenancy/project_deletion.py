"""The end of a project: every row that belongs to it, and every object of its files, jobs and models."""

from sqlalchemy import ColumnElement, Table, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import Conflict
from fettle.storage import deletions
from models import ENDED, GOING, AuditLog, Base, Batch, Comparison, ComparisonStatus, Deletion, Job, Project


async def remove(session: AsyncSession, project: Project) -> list[str]:
    """The keys of the objects that must go, which are written down.

    Raises Conflict while jobs, batches or comparisons of the project are under way.
    """
    await session.refresh(project, with_for_update=True)
    await check_idle(session, project)
    jobs = await session.scalars(select(Job.id).where(Job.project_id == project.id))
    folders = [f"files/{project.id}", f"uploads/{project.id}", f"adapters/{project.id}"]
    for folder in folders:  # what was to go one by one goes with its folder
        await session.execute(delete(Deletion).where(Deletion.key.startswith(f"{folder}/", autoescape=True)))
    keys = [*folders, *(f"jobs/{job_id}" for job_id in jobs)]
    for key in keys:
        await deletions.plan(session, key)
    for table in reversed(Base.metadata.sorted_tables):  # children before their parents
        if table is AuditLog.__table__:
            continue  # who deleted the project is in there
        if (mine := rows_of(table, project.id)) is not None:
            await session.execute(delete(table).where(mine))
    return keys


async def check_idle(session: AsyncSession, project: Project) -> None:
    for what, table, under_way in (
        ("job", Job, Job.status.not_in(ENDED)),
        ("batch", Batch, Batch.status.in_(GOING)),
        ("comparison", Comparison, Comparison.status == ComparisonStatus.GENERATING),
    ):
        id = await session.scalar(select(table.id).where(table.project_id == project.id, under_way).limit(1))
        if id is not None:
            way_out = "Delete it, or wait for its responses" if table is Comparison else "Cancel it first, or wait"
            raise Conflict(
                f"The {what} {id!r} of the project {project.name!r} has not ended. {way_out}.", code="project_in_use"
            )


def rows_of(table: Table, project_id: str) -> ColumnElement[bool] | None:
    """Which rows of a table are the project's: by their own column, or by what they refer to. None: it has none."""
    if table is Project.__table__:
        return table.c.id == project_id
    if "project_id" in table.c:
        return table.c.project_id == project_id
    ways = []
    for key in table.foreign_keys:
        if (parents := rows_of(key.column.table, project_id)) is not None:
            ways.append(key.parent.in_(select(key.column).where(parents)))
    return or_(*ways) if ways else None

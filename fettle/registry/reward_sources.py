"""Reward functions that people write in their project: versions of a name, the newest of which is the function."""

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.db import lock
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.rewards import FUNCTIONS
from models import RewardSource

FUNCTIONS_AT_MOST = 100  # of a project
VERSIONS_AT_MOST = 50  # of a function; the oldest goes when another is saved


async def save(session: AsyncSession, project_id: str, name: str, source: str) -> RewardSource:
    """A new version; the newest one where it has the same source.

    source: checked already. Raises InvalidRequest, Conflict.
    """
    if name in FUNCTIONS:
        raise InvalidRequest(f"{name!r} is a built-in reward function. Choose another name.", param="name")
    await lock(session, f"reward sources of {project_id}")
    kept = await versions(session, project_id, name)
    if kept and kept[0].source == source:
        return kept[0]
    names = select(func.count(RewardSource.name.distinct())).where(RewardSource.project_id == project_id)
    if not kept and (await session.scalar(names) or 0) >= FUNCTIONS_AT_MOST:
        raise Conflict(
            f"The project has {FUNCTIONS_AT_MOST} reward functions, which is the limit. Delete one first.",
            code="too_many_reward_functions",
        )
    for oldest in kept[VERSIONS_AT_MOST - 1 :]:
        await session.delete(oldest)
    row = RewardSource(
        id=ids.new("rewfn_"),
        project_id=project_id,
        name=name,
        version=kept[0].version + 1 if kept else 1,
        source=source,
    )
    session.add(row)
    await session.flush()
    return row


async def versions(session: AsyncSession, project_id: str, name: str) -> list[RewardSource]:
    """Newest first."""
    mine = select(RewardSource).where(RewardSource.project_id == project_id, RewardSource.name == name)
    return list(await session.scalars(mine.order_by(RewardSource.version.desc())))


async def newest(session: AsyncSession, project_id: str) -> list[RewardSource]:
    """The newest version of each of the project's functions, by name."""
    latest = (
        select(RewardSource.name, func.max(RewardSource.version).label("version"))
        .where(RewardSource.project_id == project_id)
        .group_by(RewardSource.name)
        .subquery()
    )
    same = (RewardSource.name == latest.c.name) & (RewardSource.version == latest.c.version)
    mine = select(RewardSource).join(latest, same).where(RewardSource.project_id == project_id)
    return list(await session.scalars(mine.order_by(RewardSource.name)))


async def get(session: AsyncSession, project_id: str, function_id: str) -> RewardSource:
    """Raises NotFound."""
    row = await session.get(RewardSource, function_id)
    if row is None or row.project_id != project_id:
        raise NotFound(f"No reward function of this project has the id {function_id!r}.", param="function_id")
    return row


async def remove(session: AsyncSession, row: RewardSource) -> None:
    """The function, with all its versions."""
    await session.execute(
        delete(RewardSource).where(RewardSource.project_id == row.project_id, RewardSource.name == row.name)
    )

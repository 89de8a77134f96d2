"""What judges a job's completions: version 1 as the job was created with, a new version for each edit while it runs."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import Conflict
from fettle.inference import judge_models
from fettle.jobs import events, lifecycle, planning, states
from fettle.registry.catalog import Catalog
from fettle.rewards.grader_fields import Graders, check
from models import Job, RewardVersion


async def add(session: AsyncSession, job_id: str, graders: Graders) -> RewardVersion:
    """The caller holds the job's row."""
    latest = await session.scalar(select(func.max(RewardVersion.version)).where(RewardVersion.job_id == job_id))
    row = RewardVersion(job_id=job_id, version=(latest or 0) + 1, graders=graders)
    session.add(row)
    await session.flush()
    return row


async def newest(session: AsyncSession, job_id: str, but: Collection[int] = ()) -> RewardVersion | None:
    """but: versions to leave out."""
    statement = select(RewardVersion).where(RewardVersion.job_id == job_id).order_by(RewardVersion.version.desc())
    statement = statement.where(RewardVersion.version.not_in(but))
    return (await session.scalars(statement.limit(1))).first()


async def edit(
    session: AsyncSession,
    project_id: str,
    job_id: str,
    given: dict[str, Any],
    *,
    graders: Graders | None = None,
    models: Catalog | None = None,
    aliases: Mapping[str, str] = planning.NO_ALIASES,
) -> RewardVersion:
    """A new version, which judges from the next step on. Raises Conflict for a job that has ended.

    graders: what `given` comes to, where it was checked already.
    models, aliases: what graders may ask beside the project's own models.
    """
    job: Job = await lifecycle.locked(session, project_id, job_id)
    if await newest(session, job.id) is None:
        raise Conflict(
            f"The job {job_id!r} has no graders: only those of the method 'reinforcement' have.",
            code="job_without_rewards",
        )
    if job.status.is_terminal:
        raise Conflict(f"{states.sentence(job)}. Its rewards cannot be edited.", code="job_not_active")
    graders = check(given) if graders is None else graders
    await judge_models.find(session, project_id, graders, models or {}, aliases)
    row = await add(session, job.id, graders)
    names = ", ".join(f"{entry['name']} × {entry['weight']:g}" for entry in row.graders)
    message = f"Rewards version {row.version}, from the next step on: {names}"
    events.add(session, job.id, message, data={"reward_version": row.version})
    return row

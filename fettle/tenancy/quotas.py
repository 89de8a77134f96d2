"""Quotas: what a project may use. The settings give the defaults, a project's row what differs; None is no limit.

What is counted is counted under a lock on the project's row, so that fifty requests at once cannot pass together.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import database_now
from fettle.errors import QuotaExceeded
from fettle.settings import Settings
from fettle.tenancy import gpu_time
from models import (
    ENDED,
    ChunkedUpload,
    File,
    Job,
    JobStatus,
    Project,
    RolloutChunk,
    Run,
    StoredCompletion,
    StoredResponse,
    TunedModel,
    UploadStatus,
)

TOKEN_WINDOW = 30 * 24 * 3600  # seconds
HOUR = 3600
HIGH = 2  # a job's priority from which it counts as high

Limits = Mapping[str, int | None]


async def files(session: AsyncSession, project_id: str) -> int:
    """Those that are on their way in parts as well, and uploaded models."""
    stored = await number(session, select(func.count()).select_from(File).where(File.project_id == project_id))
    stored += await number(session, select(func.count()).select_from(TunedModel).where(*uploaded(project_id)))
    return stored + await number(session, pending(project_id, func.count()))


def uploaded(project_id: str) -> tuple[ColumnElement[bool], ...]:
    """Models that no job has made."""
    return TunedModel.project_id == project_id, TunedModel.job_id.is_(None)


def pending(project_id: str, counted: Any) -> Select[Any]:
    """Of uploads in parts that go on."""
    going = (ChunkedUpload.status == UploadStatus.PENDING, ChunkedUpload.expires_at > time.time())
    return select(counted).select_from(ChunkedUpload).where(ChunkedUpload.project_id == project_id, *going)


async def stored_bytes(session: AsyncSession, project_id: str) -> int:
    """Of files, those on their way in parts, uploaded models, what jobs keep of completions, and stored answers."""
    of_files = select(func.coalesce(func.sum(File.bytes), 0)).where(File.project_id == project_id)
    chunks = select(func.coalesce(func.sum(RolloutChunk.bytes), 0)).join(Job, Job.id == RolloutChunk.job_id)
    of_rollouts = await number(session, chunks.where(Job.project_id == project_id))
    of_models = await number(session, select(func.coalesce(func.sum(TunedModel.bytes), 0)).where(*uploaded(project_id)))
    coming = await number(session, pending(project_id, func.coalesce(func.sum(ChunkedUpload.bytes), 0)))
    answers = [
        await number(session, select(func.coalesce(func.sum(kind.bytes), 0)).where(kind.project_id == project_id))
        for kind in (StoredCompletion, StoredResponse)
    ]
    return await number(session, of_files) + coming + of_models + of_rollouts + sum(answers)


async def queued_jobs(session: AsyncSession, project_id: str) -> int:
    """Paused ones as well: or else pausing would make room for more without end."""
    return await jobs(session, project_id, JobStatus.QUEUED, JobStatus.PAUSED)


async def running_jobs(session: AsyncSession, project_id: str) -> int:
    return await jobs(session, project_id, JobStatus.RUNNING)


async def tokens(session: AsyncSession, project_id: str) -> int:
    """Of the jobs that ended within the last 30 days."""
    trained = select(func.coalesce(func.sum(Job.trained_tokens), 0))
    return await number(session, trained.where(Job.project_id == project_id, Job.finished_at > since()))


async def gpu_hours(session: AsyncSession, project_id: str) -> int:
    """Of the last 30 days, those of jobs that are running as well."""
    return int((await gpu_seconds(session, [project_id])).get(project_id, 0.0) // HOUR)


async def gpu_seconds(session: AsyncSession, project_ids: Collection[str]) -> dict[str, float]:
    start = database_now() - TOKEN_WINDOW
    spent = select(Run.project_id, func.sum(gpu_time.gpu_seconds(start))).where(gpu_time.after(start))
    rows = await session.execute(spent.where(Run.project_id.in_(project_ids)).group_by(Run.project_id))
    return dict(rows.all())


async def job_hours(session: AsyncSession, project_id: str) -> int:
    """Of the running job that has run longest, all its attempts together."""
    held = select(func.sum(gpu_time.seconds()).label("seconds")).join(Job, Job.id == Run.job_id)
    held = held.where(Job.project_id == project_id, Job.status == JobStatus.RUNNING).group_by(Run.job_id)
    return await number(session, select(func.max(held.subquery().c.seconds))) // HOUR


async def high_priority_jobs(session: AsyncSession, project_id: str) -> int:
    """That have not ended."""
    counted = select(func.count()).select_from(Job).where(Job.project_id == project_id, Job.priority >= HIGH)
    return await number(session, counted.where(Job.status.not_in(ENDED)))


async def jobs(session: AsyncSession, project_id: str, *states: JobStatus) -> int:
    counted = select(func.count()).select_from(Job).where(Job.project_id == project_id, Job.status.in_(states))
    return await number(session, counted)


async def number(session: AsyncSession, statement: Select[Any]) -> int:
    return int(await session.scalar(statement) or 0)


class Quota(NamedTuple):
    used: Callable[[AsyncSession, str], Awaitable[int]]
    unit: str
    way_out: str


QUOTAS: dict[str, Quota] = {
    "files": Quota(files, "files", "delete some (uploaded models count as well)"),
    "bytes": Quota(stored_bytes, "bytes in files, uploaded models, rollouts and stored answers", "delete some files"),
    "queued_jobs": Quota(queued_jobs, "queued or paused jobs", "wait until one starts, or cancel one"),
    "running_jobs": Quota(running_jobs, "running jobs", "wait until one ends"),
    "high_priority_jobs": Quota(
        high_priority_jobs, "high-priority jobs", "wait until one ends, or create the job with the priority 'normal'"
    ),
    "job_hours": Quota(job_hours, "hours of one job", "train with fewer steps"),
    "gpu_hours": Quota(
        gpu_hours, "GPU-hours within 30 days", "wait until the oldest of these runs is more than 30 days old"
    ),
    "tokens": Quota(
        tokens, "tokens trained within 30 days", "wait until the oldest of these jobs is more than 30 days old"
    ),
}


UNLIMITED: Limits = dict.fromkeys(QUOTAS)


def defaults(settings: Settings) -> Limits:
    return {name: getattr(settings, f"quota_{name}") for name in QUOTAS}


def limits(project: Project, defaults: Limits) -> Limits:
    return {**defaults, **(project.quotas or {})}


async def usage(session: AsyncSession, project_id: str) -> dict[str, int]:
    return {name: await quota.used(session, project_id) for name, quota in QUOTAS.items()}


def change(project: Project, limits: Limits, back: list[str]) -> None:
    """Sets what differs from the settings' defaults from now on; `back` names quotas that follow them again."""
    kept = {**(project.quotas or {}), **limits}
    project.quotas = {name: limit for name, limit in kept.items() if name not in back} or None


async def admit_job(session: AsyncSession, project_id: str, defaults: Limits, priority: int = 1) -> None:
    """Call it in the transaction that adds the job. Raises QuotaExceeded."""
    project = await locked(session, project_id)
    for name in ("queued_jobs", "tokens", "gpu_hours", *(("high_priority_jobs",) if priority >= HIGH else ())):
        await check(session, project, name, 1, defaults)


async def admit_file(session: AsyncSession, project_id: str, size: int, defaults: Limits) -> None:
    """Call it in the transaction that adds the file. Raises QuotaExceeded."""
    project = await locked(session, project_id)
    await check(session, project, "files", 1, defaults)
    await check(session, project, "bytes", size, defaults)


async def foresee_file(session: AsyncSession, project_id: str, size: int, defaults: Limits) -> None:
    """Whether an upload of this size has a chance: asked before it is read. Raises QuotaExceeded."""
    project = await session.get_one(Project, project_id)
    await check(session, project, "files", 1, defaults)
    await check(session, project, "bytes", size, defaults)


async def admit_answer(session: AsyncSession, project_id: str, defaults: Limits) -> None:
    """Before a model is asked for an answer that shall be stored. Raises QuotaExceeded."""
    await check(session, await session.get_one(Project, project_id), "bytes", 1, defaults)


async def rollouts_fit(session: AsyncSession, project_id: str, size: int, defaults: Limits) -> bool:
    """Whether a job may keep so many more bytes of rollouts."""
    limit = limits(await session.get_one(Project, project_id), defaults)["bytes"]
    return limit is None or await stored_bytes(session, project_id) + size <= limit


async def locked(session: AsyncSession, project_id: str) -> Project:
    """The project's row, others' admissions waiting; rows that only refer to it are not kept waiting."""
    statement = select(Project).where(Project.id == project_id).with_for_update(key_share=True)
    return (await session.scalars(statement, execution_options={"populate_existing": True})).one()


async def check(session: AsyncSession, project: Project, name: str, more: int, defaults: Limits) -> None:
    limit = limits(project, defaults)[name]
    if limit is None:
        return
    quota = QUOTAS[name]
    used = await quota.used(session, project.id)
    if used + more <= limit:
        return
    wanted = f", and this would add {more:,}" if more > 1 else ""
    raise QuotaExceeded(
        f"The project {project.name!r} has {used:,} {quota.unit} of the {limit:,} that its quota {name!r} allows"
        f"{wanted}: {quota.way_out}, or ask the operator for more (`fettle projects quota {project.name} {name}=…`).",
        retry_after=await frees_itself(session, project.id, name),
    )


async def frees_itself(session: AsyncSession, project_id: str, name: str) -> int:
    """Seconds after which asking again may make sense."""
    if name != "tokens":
        return 60 if name == "queued_jobs" else HOUR
    oldest = select(func.min(Job.finished_at)).where(Job.project_id == project_id, Job.finished_at > since())
    first = await session.scalar(oldest.where(Job.trained_tokens > 0))
    return HOUR if first is None else max(60, int(first + TOKEN_WINDOW - time.time()))


def since() -> float:
    return time.time() - TOKEN_WINDOW


async def full(session: AsyncSession, project_ids: Collection[str], defaults: Limits) -> set[str]:
    """Which of these projects may start no further job: they run all that they may, or have used up their GPU-hours.

    A project with a cap on its running jobs is locked until this transaction ends.
    """
    return {project_id for project_id, left in (await room(session, project_ids, defaults)).items() if left <= 0}


async def room(session: AsyncSession, project_ids: Collection[str], defaults: Limits) -> dict[str, int]:
    """How many more jobs each of these projects may start; those without a limit are left out. Locks as `full`."""
    asking = (await session.scalars(select(Project).where(Project.id.in_(project_ids)))).all()
    found = dict.fromkeys(await spent(session, asking, defaults), 0)
    caps = {project.id: limits(project, defaults)["running_jobs"] for project in asking}
    capped = {project_id: cap for project_id, cap in caps.items() if cap is not None}
    if not capped:
        return found
    rows = select(Project.id).where(Project.id.in_(capped)).order_by(Project.id)
    await session.execute(rows.with_for_update(key_share=True))
    counted = select(Job.project_id, func.count()).where(Job.status == JobStatus.RUNNING).group_by(Job.project_id)
    running = dict((await session.execute(counted)).all())
    return {project_id: cap - running.get(project_id, 0) for project_id, cap in capped.items()} | found


async def spent(session: AsyncSession, projects: Collection[Project], defaults: Limits) -> dict[str, int]:
    """Of the projects that have used up their GPU-hours the limit, by the project's id."""
    caps = {project.id: limits(project, defaults)["gpu_hours"] for project in projects}
    capped = {project_id: cap for project_id, cap in caps.items() if cap is not None}
    used = await gpu_seconds(session, capped) if capped else {}
    return {project_id: cap for project_id, cap in capped.items() if used.get(project_id, 0.0) >= cap * HOUR}

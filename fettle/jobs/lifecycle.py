"""Fine-tuning jobs: create, find, cancel, pause, resume."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import String, cast, null, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.db import json_text
from fettle.errors import Conflict, NotFound
from fettle.estimates import estimate, measurements
from fettle.estimates.amounts import Rows
from fettle.jobs import events, idempotency, placement, planning, states, without_effect
from fettle.jobs.planning import Plan, Request
from fettle.pagination import page
from fettle.registry.catalog import Catalog
from fettle.tenancy import quotas
from fettle.webhooks import events as webhooks
from models import RESUMABLE, File, Job, JobStatus, Project, RewardVersion

DAY = 24 * 3600
RESUMED = "Fine-tuning job resumed"  # how the event begins


async def create(
    session: AsyncSession,
    project: Project,
    request: Request,
    models: Catalog,
    defaults: quotas.Limits = quotas.UNLIMITED,
    *,
    aliases: Mapping[str, str] = planning.NO_ALIASES,
    price: estimate.Price = None,
) -> tuple[Job, bool]:
    """The job and whether it is new: a retried request finds the job that its first try made."""
    if (earlier := await idempotency.find(session, project.id, request)) is not None:
        return earlier, False
    planned = await planning.make(session, project.id, request, models, aliases)
    job = await add(session, project, request, planned, defaults)
    job.estimate = await foreseen(session, job, planned, models, price)
    return job, True


async def foreseen(
    session: AsyncSession, job: Job, plan: Plan, models: Catalog, price: estimate.Price
) -> dict[str, Any]:
    """From the size of the training file alone: creating a job reads no dataset."""
    earlier = await measurements.earlier(session, plan.base_model)
    each = estimate.tokens_per_byte(earlier, plan.base_model)
    rows = Rows.of_size((plan.training.report or {})["rows"], plan.training.bytes, each)
    validation = await session.get(File, job.validation_file) if job.validation_file else None
    held_out = int(((validation.report if validation else None) or {}).get("rows") or 0)
    found = estimate.make(earlier, plan.base_model, plan.method, rows, models, held_out)
    return found.to_json(price, 1)


async def add(session: AsyncSession, project: Project, request: Request, plan: Plan, defaults: quotas.Limits) -> Job:
    """Raises QuotaExceeded."""
    priority = placement.CLASSES[request.priority]
    await quotas.admit_job(session, project.id, defaults, priority)
    job = Job(
        id=ids.new("ftjob-"),
        project_id=project.id,
        base_model=plan.base_model,
        started_from=plan.started_from,
        training_file=request.training_file,
        validation_file=request.validation_file,
        method=plan.method,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        created_by=request.created_by,
        suffix=request.suffix,
        labels=request.metadata,
        integrations=request.integrations or None,
        priority=priority,
        resources=request.resources,
        limits=request.limits,
        request_digest=request.digest,
        status=JobStatus.QUEUED,
        result_files=[],
        fence=0,
        attempts=0,
    )
    session.add(job)
    await session.flush()
    await idempotency.remember(session, request, job)
    if plan.graders is not None:
        session.add(RewardVersion(job_id=job.id, version=1, graders=plan.graders))
    events.add(session, job.id, f"Created fine-tuning job: {job.id}")
    for sentence in without_effect.sentences(plan.method, plan.graders or []):
        events.add(session, job.id, sentence)
    return job


async def get(session: AsyncSession, project_id: str, job_id: str) -> Job:
    return owned(await session.get(Job, job_id), project_id, job_id)


def owned(job: Job | None, project_id: str, job_id: str) -> Job:
    """Raises NotFound: for another tenant's job as for none."""
    if job is None or job.project_id != project_id:
        raise unknown(job_id)
    return job


def unknown(job_id: str) -> NotFound:
    message = f"No fine-tuning job has the id {job_id!r}. GET /v1/fine_tuning/jobs lists your jobs."
    return NotFound(message, param="fine_tuning_job_id")


async def newest(
    session: AsyncSession, project_id: str, *, labels: dict[str, str] | None, after: str | None, limit: int
) -> tuple[list[Job], bool]:
    """A page of jobs, newest first; `labels` keeps those whose metadata has all of these, None those without any."""
    statement = select(Job).where(Job.project_id == project_id)
    if labels is None:
        statement = statement.where(or_(Job.labels.is_(null()), cast(Job.labels, String) == "null"))
    for key, value in (labels or {}).items():
        statement = statement.where(json_text(Job.labels, key) == value)
    return await page(session, statement, (Job.created_at, Job.id), Job.id, after=after, limit=limit)


async def cancel(session: AsyncSession, project_id: str, job_id: str) -> Job:
    """Terminal at once: the fence moves on, and whoever is training finds that it is no longer theirs."""
    job = await get(session, project_id, job_id)
    done = await session.execute(
        states.moving(JobStatus.CANCELLED)
        .where(Job.id == job_id)
        .values(
            fence=Job.fence + 1, finished_at=time.time(), lease_until=None, pause_requested_at=None, preempted_for=None
        )
        .execution_options(synchronize_session=False)
    )
    await session.refresh(job)
    if done.rowcount == 0:  # type: ignore[attr-defined]  # an UPDATE's result has it
        raise Conflict(f"{states.sentence(job)}. It cannot be cancelled.", code="job_not_active")
    events.add(session, job.id, "Fine-tuning job cancelled")
    webhooks.add(session, project_id, "fine_tuning.job.cancelled", job.id)
    return job


async def pause(session: AsyncSession, project_id: str, job_id: str) -> Job:
    """A waiting job is paused at once, a running one at its next checkpoint; twice is as good as once."""
    job = await locked(session, project_id, job_id)
    if job.status == JobStatus.QUEUED:
        states.move(job, JobStatus.PAUSED)
        events.add(session, job.id, "Fine-tuning job paused")
    elif job.status == JobStatus.RUNNING and job.pause_requested_at is None:
        job.pause_requested_at = time.time()
        events.add(session, job.id, "Pause requested. The job will save a checkpoint and pause.")
    elif job.status.is_terminal:
        raise Conflict(f"{states.sentence(job)}. It cannot be paused.", code="job_not_active")
    return job


async def resume(
    session: AsyncSession,
    project_id: str,
    job_id: str,
    *,
    retry: bool = False,
    resume_days: float = 7,
    defaults: quotas.Limits = quotas.UNLIMITED,
) -> tuple[Job, bool]:
    """The job and whether it waits for a worker now. Resuming withdraws a pause that is only requested yet.

    retry: the client has sent this before; then a job that waits or runs is what its first try left. resume_days: how
    long what a resume needs is kept of a failed job.
    """
    job = await locked(session, project_id, job_id)
    if job.status == JobStatus.FAILED and (job.error or {}).get("code") in RESUMABLE:
        await restart(session, job, resume_days, defaults)
        return job, True
    if job.status == JobStatus.PAUSED:
        states.move(job, JobStatus.QUEUED)
        events.add(session, job.id, f"{RESUMED}. It will continue from its last checkpoint.")
        return job, True
    if job.status == JobStatus.RUNNING and job.pause_requested_at is not None:
        job.pause_requested_at = None
        events.add(session, job.id, "Pause request cancelled")
    elif job.status.is_terminal:
        why = f" with the error {job.error['code']!r}" if job.error else ""
        message = f"{states.sentence(job)}{why}. It cannot be resumed."
        raise Conflict(message, code="job_not_active")
    elif not retry:
        raise Conflict(f"The job {job_id!r} is {job.status}. Only a paused job can be resumed.", code="job_not_paused")
    return job, False


async def restart(session: AsyncSession, job: Job, resume_days: float, defaults: quotas.Limits) -> None:
    """A job that failed for no reason of its own continues from its last checkpoint, with all its attempts.

    Raises Conflict when what it needs is gone, and QuotaExceeded.
    """
    if (job.finished_at or 0) < time.time() - resume_days * DAY:
        raise Conflict(
            f"The job {job.id!r} failed more than {resume_days:g} days ago, and its checkpoints were deleted. "
            "Create a new job.",
            code="job_not_resumable",
        )
    for file_id in (job.training_file, job.validation_file):
        if file_id is not None and await session.get(File, file_id, with_for_update={"read": True}) is None:
            raise Conflict(
                f"The job {job.id!r} cannot be resumed because its file {file_id!r} was deleted. Create a new job.",
                code="job_not_resumable",
            )
    await quotas.admit_job(session, job.project_id, defaults, job.priority)
    code = (job.error or {})["code"]
    states.move(job, JobStatus.QUEUED)
    job.error = job.finished_at = job.estimated_finish = None
    job.attempts = job.deaths = 0
    next_step = "Its adapter will be published" if job.kept_by else "It will continue from its last checkpoint"
    events.add(session, job.id, f"{RESUMED} after it failed with {code}. {next_step}.")


async def locked(session: AsyncSession, project_id: str, job_id: str) -> Job:
    """The job, locked until this transaction ends: its worker, and other requests, wait. Raises NotFound."""
    statement = select(Job).where(Job.id == job_id, Job.project_id == project_id).with_for_update()
    if (job := await session.scalar(statement)) is None:
        raise unknown(job_id)
    return job


def tuned_model_name(job: Job, project: str) -> str:
    return f"ft:{job.base_model}:{project}:{job.suffix or ''}:{job.id.removeprefix('ftjob-')[:10]}"

"""Fine-tuning jobs: create, find, cancel."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import catalog, events, files, ids, specs
from fettle.catalog import BaseModelEntry
from fettle.db import json_text
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.paging import page
from models import LEGAL_MOVES, IdempotencyKey, Job, JobStatus, Project

KEY_WINDOW = 24 * 3600  # seconds in which an Idempotency-Key is remembered, as in Stripe's API
RETRY_WINDOW = 3600  # seconds; the SDK's two retries of a request that times out after 600 s end within it


@dataclass(frozen=True)
class Request:
    """What a client asks for; `body` is the request as it came, for telling retries apart."""

    model: str
    training_file: str
    method: specs.Method
    body: dict[str, Any]
    validation_file: str | None = None
    seed: int | None = None
    suffix: str | None = None
    metadata: dict[str, str] | None = None
    idempotency_key: str | None = None
    retry: bool = False  # the SDK says that it has sent this before

    @property
    def digest(self) -> str:
        return hashlib.sha256(orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def create(
    session: AsyncSession, project: Project, request: Request, models: dict[str, BaseModelEntry]
) -> tuple[Job, bool]:
    """The job and whether it is new: a retried request finds the job that its first try made."""
    if (earlier := await find_retried(session, project.id, request)) is not None:
        return earlier, False
    if request.model.startswith("ft:"):
        raise InvalidRequest(
            f"Training on from {request.model!r} is not supported yet: name a base model.",
            code="model_not_supported",
            param="model",
        )
    base = catalog.find(models, request.model)
    training = await files.for_training(
        session, project.id, request.training_file, "training_file", files.MIN_TRAINING_ROWS
    )
    if request.validation_file is not None:
        await files.for_training(session, project.id, request.validation_file, "validation_file", 1)
    method = specs.resolve(
        request.method,
        rows=(training.report or {})["rows"],
        base_parameters=base.parameters,
        base_length=base.length,
        file_bytes=training.bytes,
        validates=request.validation_file is not None,
        layers=catalog.linear_layers(base),
    )
    job = Job(
        id=ids.new("ftjob-"),
        project_id=project.id,
        base_model=request.model,
        training_file=request.training_file,
        validation_file=request.validation_file,
        method=method,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        suffix=request.suffix,
        labels=request.metadata,
        request_digest=request.digest,
        status=JobStatus.QUEUED,
        result_files=[],
        fence=0,
        attempts=0,
    )
    session.add(job)
    await session.flush()
    if request.idempotency_key is not None:
        await remember(session, project.id, request, job.id)
    events.add(session, job.id, f"Created fine-tuning job: {job.id}")
    return job, True


async def find_retried(session: AsyncSession, project_id: str, request: Request) -> Job | None:
    """The job that an earlier try of the same request made, if this is a retry."""
    if request.idempotency_key is not None:
        known = await session.get(IdempotencyKey, (project_id, request.idempotency_key))
        if known is not None and known.created_at > time.time() - KEY_WINDOW:
            if known.request_digest != request.digest:
                raise Conflict(
                    f"The Idempotency-Key {request.idempotency_key!r} was used with another body: use a new key.",
                    code="idempotency_key_reused",
                )
            return await session.get(Job, known.job_id)
        if known is not None:
            await session.delete(known)
            await session.flush()
        return None
    if not request.retry:
        return None
    since = time.time() - RETRY_WINDOW
    statement = (
        select(Job)
        .where(Job.project_id == project_id, Job.request_digest == request.digest, Job.created_at > since)
        .where(Job.status.not_in([JobStatus.FAILED, JobStatus.CANCELLED]))  # asking again after those means it
        .order_by(Job.created_at.desc())
    )
    return (await session.scalars(statement.limit(1))).first()


async def remember(session: AsyncSession, project_id: str, request: Request, job_id: str) -> None:
    """Ties the key to the job. Raises Conflict, to be retried, when another request got there in between."""
    session.add(
        IdempotencyKey(project_id=project_id, key=request.idempotency_key, request_digest=request.digest, job_id=job_id)
    )
    try:
        await session.flush()
    except IntegrityError as error:
        conflict = Conflict(f"A request with the Idempotency-Key {request.idempotency_key!r} is under way: try again.")
        conflict.retry = True
        raise conflict from error


async def get(session: AsyncSession, project_id: str, job_id: str) -> Job:
    job = await session.get(Job, job_id)
    if job is None or job.project_id != project_id:
        raise NotFound(f"No fine-tuning job has the id {job_id!r}.", param="fine_tuning_job_id")
    return job


async def newest(
    session: AsyncSession, project_id: str, *, labels: dict[str, str], after: str | None, limit: int
) -> tuple[list[Job], bool]:
    """A page of jobs, newest first; `labels` keeps those whose metadata has all of these."""
    statement = select(Job).where(Job.project_id == project_id)
    for key, value in labels.items():
        statement = statement.where(json_text(Job.labels, key) == value)
    return await page(session, statement, (Job.created_at, Job.id), Job.id, after=after, limit=limit)


async def cancel(session: AsyncSession, project_id: str, job_id: str) -> Job:
    """Terminal at once: the fence moves on, and whoever is training finds that it is no longer theirs."""
    job = await get(session, project_id, job_id)
    cancellable = [status for status, moves in LEGAL_MOVES.items() if JobStatus.CANCELLED in moves]
    done = await session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status.in_(cancellable))
        .values(status=JobStatus.CANCELLED, fence=Job.fence + 1, finished_at=time.time(), lease_until=None)
        .execution_options(synchronize_session=False)
    )
    await session.refresh(job)
    if done.rowcount == 0:  # type: ignore[attr-defined]  # an UPDATE's result has it
        raise Conflict(f"The job {job_id!r} has already {job.status}: it cannot be cancelled.", code="job_not_active")
    events.add(session, job.id, "Fine-tuning job cancelled")
    return job


def tuned_model_name(job: Job, project: str) -> str:
    return f"ft:{job.base_model}:{project}:{job.suffix or ''}:{job.id.removeprefix('ftjob-')[:10]}"

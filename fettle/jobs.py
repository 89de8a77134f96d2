"""Fine-tuning jobs: create, find, cancel, pause, resume."""

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson
from sqlalchemy import String, cast, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import catalog, events, files, ids, judges, quotas, specs, templates, tuned_models
from fettle.catalog import BaseModelEntry
from fettle.db import json_text, lock
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.paging import page
from fettle.rewards import given as rewards
from fettle.serving import Servable
from models import LEGAL_MOVES, File, IdempotencyKey, Job, JobStatus, Project, RewardVersion

KEY_WINDOW = 24 * 3600  # seconds in which an Idempotency-Key is remembered, as in Stripe's API
RETRY_WINDOW = 3600  # seconds; the SDK's two retries of a request that times out after 600 s end within it
OVERTAKING_WINDOW = 60  # seconds by which a retry may arrive before its first try
NO_ALIASES: Mapping[str, str] = MappingProxyType({})


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
    integrations: list[dict[str, Any]] | None = None
    idempotency_key: str | None = None
    retry: bool = False  # the SDK says that it has sent this before

    @property
    def digest(self) -> str:
        return hashlib.sha256(orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)).hexdigest()

    @property
    def overtaken(self) -> str:
        """The key under which a retry that came first leaves its job to its first try."""
        return f"first try of {self.digest}"


async def create(
    session: AsyncSession,
    project: Project,
    request: Request,
    models: dict[str, BaseModelEntry],
    defaults: quotas.Limits = quotas.UNLIMITED,
    *,
    aliases: Mapping[str, str] = NO_ALIASES,
) -> tuple[Job, bool]:
    """The job and whether it is new: a retried request finds the job that its first try made."""
    await lock(session, f"{project.id} {request.idempotency_key or request.digest}")
    if (earlier := await find_retried(session, project.id, request)) is not None:
        return earlier, False
    planned = await plan(session, project.id, request, models, aliases)
    return await add(session, project, request, planned, defaults), True


@dataclass(frozen=True)
class Plan:
    """What a request comes to: every `auto` resolved, every file looked at, every model found.

    graders: None where nothing is rewarded. judges: the models that they ask, by the names that they have for them.
    """

    base_model: str
    started_from: str | None
    training: File
    method: dict[str, Any]
    graders: list[dict[str, Any]] | None
    judges: dict[str, Servable]


async def plan(
    session: AsyncSession,
    project_id: str,
    request: Request,
    models: dict[str, BaseModelEntry],
    aliases: Mapping[str, str] = NO_ALIASES,
) -> Plan:
    """Raises InvalidRequest and NotFound for what cannot be trained."""
    start = await starting_point(session, project_id, request) if request.model.startswith("ft:") else None
    base_model = start.base_model if start else request.model
    base = catalog.find(models, base_model)
    if isinstance(request.method, specs.RLHFMethod) and request.method.rlhf.reward_model is not None:
        await tuned_models.scorer(session, project_id, request.method.rlhf.reward_model, base_model)
    shapes, hint = specs.shapes(request.method), specs.HINTS.get(request.method.type, "")
    training = await files.for_training(
        session, project_id, request.training_file, "training_file", files.MIN_TRAINING_ROWS, shapes, hint
    )
    templates.check(base_model, base, training, "training_file")
    if request.validation_file is not None:
        validation = await files.for_training(
            session, project_id, request.validation_file, "validation_file", 1, shapes, hint
        )
        templates.check(base_model, base, validation, "validation_file")
    given = specs.Given(
        rows=(training.report or {})["rows"],
        base_parameters=base.parameters,
        base_length=base.length,
        file_bytes=training.bytes,
        validates=request.validation_file is not None,
        layers=lambda: catalog.linear_layers(base),
        lora=start.lora if start else None,
    )
    method = specs.resolve(request.method, given)
    graders = graders_of(request.method)
    asked = await judges.find(session, project_id, graders or [], models, aliases, param="method.reinforcement")
    return Plan(base_model, request.model if start else None, training, method, graders, asked)


async def add(session: AsyncSession, project: Project, request: Request, plan: Plan, defaults: quotas.Limits) -> Job:
    """Raises QuotaExceeded."""
    await quotas.admit_job(session, project.id, defaults)
    job = Job(
        id=ids.new("ftjob-"),
        project_id=project.id,
        base_model=plan.base_model,
        started_from=plan.started_from,
        training_file=request.training_file,
        validation_file=request.validation_file,
        method=plan.method,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        suffix=request.suffix,
        labels=request.metadata,
        integrations=request.integrations or None,
        request_digest=request.digest,
        status=JobStatus.QUEUED,
        result_files=[],
        fence=0,
        attempts=0,
    )
    session.add(job)
    await session.flush()
    if request.idempotency_key is not None:
        await remember(session, project.id, request.idempotency_key, job)
    elif request.retry:
        await remember(session, project.id, request.overtaken, job)
    if plan.graders is not None:
        session.add(RewardVersion(job_id=job.id, version=1, graders=plan.graders))
    events.add(session, job.id, f"Created fine-tuning job: {job.id}")
    return job


@dataclass(frozen=True)
class Start:
    """The adapter that a job goes on from."""

    base_model: str
    lora: dict[str, Any]


async def starting_point(session: AsyncSession, project_id: str, request: Request) -> Start:
    """Raises NotFound for another tenant's model as for none, InvalidRequest for one that the method cannot take."""
    model = await tuned_models.find(session, project_id, request.model)
    maker = await session.get_one(Job, model.job_id)
    kind = await tuned_models.kind(session, model)
    if kind == tuned_models.REWARD_MODEL and request.method.type != "reward_model":
        raise InvalidRequest(
            f"{request.model!r} is a reward model, which scores responses and writes none: only the method "
            f"'reward_model' goes on from it, not {request.method.type!r}.",
            code="model_not_supported",
            param="model",
        )
    asked = maker.method[maker.method["type"]]
    trained_first = kind == tuned_models.REWARD_MODEL and maker.method["type"] == "rlhf"
    hyperparameters = asked["reward_model_hyperparameters" if trained_first else "hyperparameters"]
    return Start(maker.base_model, specs.EARLIER_LORA | hyperparameters["lora"])


def graders_of(method: specs.Method) -> list[dict[str, Any]] | None:
    """What judges the completions, for a method that learns from rewards. Raises InvalidRequest."""
    if not isinstance(method, specs.ReinforcementMethod):
        return None
    return rewards.check(method.reinforcement.judges(), ("method", "reinforcement"))


async def find_retried(session: AsyncSession, project_id: str, request: Request) -> Job | None:
    """The job that another try of the same request made, if this is not the first to arrive."""
    if request.idempotency_key is not None:
        known = await session.get(IdempotencyKey, (project_id, request.idempotency_key))
        if known is None or known.created_at < time.time() - KEY_WINDOW:
            return None
        if known.request_digest != request.digest:
            raise Conflict(
                f"The Idempotency-Key {request.idempotency_key!r} was used with another body: use a new key.",
                code="idempotency_key_reused",
            )
        return await session.get(Job, known.job_id)
    if not request.retry:
        overtaken = await session.get(IdempotencyKey, (project_id, request.overtaken))
        if overtaken is None:
            return None
        await session.delete(overtaken)  # the next one of its kind is a request of its own
        late = overtaken.created_at > time.time() - OVERTAKING_WINDOW
        return await session.get(Job, overtaken.job_id) if late else None
    since = time.time() - RETRY_WINDOW
    statement = (
        select(Job)
        .where(Job.project_id == project_id, Job.request_digest == request.digest, Job.created_at > since)
        .where(Job.status.not_in([JobStatus.FAILED, JobStatus.CANCELLED]))  # asking again after those means it
        .order_by(Job.created_at.desc())
    )
    return (await session.scalars(statement.limit(1))).first()


async def remember(session: AsyncSession, project_id: str, key: str, job: Job) -> None:
    """Ties the key to the job, for the tries of the same request that are still to come."""
    row = IdempotencyKey(
        project_id=project_id, key=key, request_digest=job.request_digest, job_id=job.id, created_at=time.time()
    )
    await session.merge(row)  # in the place of one that is too old to count


async def get(session: AsyncSession, project_id: str, job_id: str) -> Job:
    return owned(await session.get(Job, job_id), project_id, job_id)


def owned(job: Job | None, project_id: str, job_id: str) -> Job:
    """Raises NotFound: for another tenant's job as for none."""
    if job is None or job.project_id != project_id:
        raise unknown(job_id)
    return job


def unknown(job_id: str) -> NotFound:
    return NotFound(f"No fine-tuning job has the id {job_id!r}.", param="fine_tuning_job_id")


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
    cancellable = [status for status, moves in LEGAL_MOVES.items() if JobStatus.CANCELLED in moves]
    done = await session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status.in_(cancellable))
        .values(
            status=JobStatus.CANCELLED,
            fence=Job.fence + 1,
            finished_at=time.time(),
            lease_until=None,
            pause_requested_at=None,
        )
        .execution_options(synchronize_session=False)
    )
    await session.refresh(job)
    if done.rowcount == 0:  # type: ignore[attr-defined]  # an UPDATE's result has it
        raise Conflict(f"The job {job_id!r} has already {job.status}: it cannot be cancelled.", code="job_not_active")
    events.add(session, job.id, "Fine-tuning job cancelled")
    return job


async def pause(session: AsyncSession, project_id: str, job_id: str) -> Job:
    """A waiting job is paused at once, a running one at its next checkpoint; twice is as good as once."""
    job = await locked(session, project_id, job_id)
    if job.status == JobStatus.QUEUED:
        job.status = JobStatus.PAUSED
        events.add(session, job.id, "Fine-tuning job paused")
    elif job.status == JobStatus.RUNNING and job.pause_requested_at is None:
        job.pause_requested_at = time.time()
        events.add(session, job.id, "Pause requested; the job saves a checkpoint and pauses")
    elif not LEGAL_MOVES[job.status]:
        raise Conflict(f"The job {job_id!r} has already {job.status}: it cannot be paused.", code="job_not_active")
    return job


async def resume(session: AsyncSession, project_id: str, job_id: str, *, retry: bool = False) -> tuple[Job, bool]:
    """The job and whether it waits for a worker now. Resuming withdraws a pause that is only requested yet.

    retry: the client has sent this before; then a job that waits or runs is what its first try left.
    """
    job = await locked(session, project_id, job_id)
    if job.status == JobStatus.PAUSED:
        job.status = JobStatus.QUEUED
        events.add(session, job.id, "Fine-tuning job resumed; it goes on from its last checkpoint")
        return job, True
    if job.status == JobStatus.RUNNING and job.pause_requested_at is not None:
        job.pause_requested_at = None
        events.add(session, job.id, "Pause withdrawn")
    elif not LEGAL_MOVES[job.status]:
        raise Conflict(f"The job {job_id!r} has already {job.status}: it cannot be resumed.", code="job_not_active")
    elif not retry:
        raise Conflict(f"The job {job_id!r} is {job.status}: only a paused job can be resumed.", code="job_not_paused")
    return job, False


async def locked(session: AsyncSession, project_id: str, job_id: str) -> Job:
    """The job, locked until this transaction ends: its worker, and other requests, wait. Raises NotFound."""
    statement = select(Job).where(Job.id == job_id, Job.project_id == project_id).with_for_update()
    if (job := await session.scalar(statement)) is None:
        raise unknown(job_id)
    return job


def tuned_model_name(job: Job, project: str) -> str:
    return f"ft:{job.base_model}:{project}:{job.suffix or ''}:{job.id.removeprefix('ftjob-')[:10]}"

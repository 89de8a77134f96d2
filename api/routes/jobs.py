import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from sse_starlette import EventSourceResponse

from api import audit, grading, isolation, queries
from api.deps import Caller, ProjectId, Room, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.job import (
    JobCreate,
    checkpoint_object,
    evaluation_object,
    event_object,
    job_object,
    method_of,
    proof_object,
    said,
)
from api.streams import adapters
from api.streams.chunks import count_stream, json_response
from fettle import queue
from fettle.errors import InvalidRequest, NotFound
from fettle.jobs import events, integrations, lifecycle, planning, proofs, waiting
from fettle.registry import tuned_models
from fettle.tenancy import quotas
from models import Project

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])

KEEPALIVE_SECONDS = 15  # between comments on a stream that has nothing to tell: proxies close what is silent

DEFAULT_LIMIT = 20  # events on a page

Limit = Annotated[int, Query(ge=1, le=100)]


@router.post("")
async def create(
    body: JobCreate,
    request: Request,
    project_id: ProjectId,
    caller: Caller,
    session: Transaction,
    services: Services,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    x_stainless_retry_count: Annotated[int, Header()] = 0,
) -> dict[str, Any]:
    """Create a job. A request that the SDK repeats, or with the same `Idempotency-Key`, returns the first job."""
    method = await grading.saved_in_method(services, project_id, method_of(body))
    wanted = planning.Request(
        model=services.aliases.get(body.model, body.model),
        training_file=body.training_file,
        validation_file=body.validation_file,
        method=method,
        seed=body.seed,
        suffix=body.suffix,
        metadata=body.metadata,
        integrations=integrations.check(body.integrations or [], services.settings.enabled_integrations),
        priority=body.priority or "normal",
        resources=said(body.resources),
        limits=said(body.limits),
        created_by=caller.id,
        body=orjson.loads(await request.body()),
        idempotency_key=idempotency_key,
        retry=x_stainless_retry_count > 0,
        graders=await isolation.graders_of(services.pool, project_id, method),
    )
    project = await session.get_one(Project, project_id)
    defaults = quotas.defaults(services.settings)
    job, created = await lifecycle.create(
        session,
        project,
        wanted,
        services.models,
        defaults,
        aliases=services.aliases,
        price=services.settings.price,
    )
    audit.made(job.id)
    if created:
        queue.ring_after_commit(session, job.id)
    return job_object(job, await waiting.explain(session, services.settings, job))


@router.get("")
async def newest(
    request: Request,
    project_id: ProjectId,
    session: Snapshot,
    services: Services,
    after: str | None = None,
    limit: Limit = 20,
    metadata: Literal["null"] | None = None,
) -> dict[str, Any]:
    """Newest first. `metadata[k]=v` keeps jobs with that label, `metadata=null` jobs without labels."""
    labels = queries.labels(request)
    if metadata and labels:
        raise InvalidRequest(
            "'metadata=null' cannot be combined with 'metadata[k]=v'. Send one of them.", param="metadata"
        )
    rows, has_more = await lifecycle.newest(
        session, project_id, labels=None if metadata else labels, after=after, limit=limit
    )
    waits = {job.id: await services.reads.wait_of(job) for job in rows}
    return listing(rows, lambda job: job_object(job, waits[job.id]), has_more)


@router.get("/{job_id}")
async def retrieve(job_id: str, project_id: ProjectId, services: Services) -> Response:
    job = await services.reads.job(project_id, job_id)
    return json_response(orjson.dumps(job_object(job, await services.reads.wait_of(job))))


@router.post("/{job_id}/cancel", dependencies=[Room])
async def cancel(job_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    return job_object(await lifecycle.cancel(session, project_id, job_id))


@router.post("/{job_id}/pause", dependencies=[Room])
async def pause(job_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """A queued job pauses immediately; a running job pauses at its next checkpoint, which may take a moment."""
    return job_object(await lifecycle.pause(session, project_id, job_id))


@router.post("/{job_id}/resume")
async def resume(
    job_id: str,
    project_id: ProjectId,
    session: Transaction,
    services: Services,
    x_stainless_retry_count: Annotated[int, Header()] = 0,
) -> dict[str, Any]:
    """Put a paused job back in the queue. It continues from its last checkpoint.

    A job that failed with `worker_lost`, `disk_full` or `storage_refused` can be resumed too, with all its attempts.
    """
    job, waits = await lifecycle.resume(
        session,
        project_id,
        job_id,
        retry=x_stainless_retry_count > 0,
        resume_days=services.settings.resume_days,
        defaults=quotas.defaults(services.settings),
    )
    if waits:
        queue.ring_after_commit(session, job.id)
    return job_object(job, await waiting.explain(session, services.settings, job))


@router.get("/{job_id}/events")
async def list_events(
    job_id: str,
    project_id: ProjectId,
    services: Services,
    after: str | None = None,
    limit: Limit | None = None,
    type: events.Type | None = None,
    stream: bool = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Any:
    """A page, newest first; with `stream=true` server-sent events, oldest first, until the job ends.

    A stream starts with the first event, or after the event in the header `Last-Event-ID`. A page can be of one `type`.
    """
    job = await services.reads.job(project_id, job_id)
    if stream:
        for name, value in (("after", after), ("limit", limit), ("type", type)):
            if value is not None:
                raise InvalidRequest(
                    f"{name!r} cannot be combined with 'stream'. To resume a stream, send the last event's id in the "
                    "header Last-Event-ID.",
                    param=name,
                )
        seq = 0
        if last_event_id is not None:
            async with services.db.snapshot() as session:
                seq = await events.seq(session, job.id, last_event_id)
        stream_of_events = count_stream(stream_events(services, job.project_id, job.id, seq))
        return EventSourceResponse(stream_of_events, ping=KEEPALIVE_SECONDS)
    limit = DEFAULT_LIMIT if limit is None else limit
    if after is None:
        return json_response(await services.reads.newest_events.get((job.id, limit, type)))
    async with services.db.snapshot() as session:
        rows, has_more = await events.newest(session, job.id, after=after, limit=limit, type=type)
    return listing(rows, event_object, has_more)


async def stream_events(
    services: Services, project_id: str, job_id: str, seq: int
) -> AsyncIterator[bytes | dict[str, str]]:
    """Events after `seq`, as they are written."""
    while True:
        job = await services.reads.job(project_id, job_id)  # first: events of a job that has ended are all there
        following = await services.reads.events_since.get((job_id, seq))
        if following is not None:
            seq, block = following
            yield block
        else:
            if job.status.is_terminal:
                yield {"data": "[DONE]"}
                return
            await asyncio.sleep(services.settings.event_poll_seconds)


@router.get("/{job_id}/checkpoints")
async def list_checkpoints(
    job_id: str, project_id: ProjectId, session: Snapshot, after: str | None = None, limit: Limit = 10
) -> dict[str, Any]:
    job = await lifecycle.get(session, project_id, job_id)
    rows, has_more = await tuned_models.checkpoints(session, job.id, after=after, limit=limit)
    return listing(rows, checkpoint_object, has_more)


@router.get("/{job_id}/evaluation")
async def evaluation(job_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    """A comparison of the base model and the tuned model on the validation file."""
    job = await lifecycle.get(session, project_id, job_id)
    return evaluation_object(job)


@router.get("/{job_id}/proof")
async def proof(job_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    """What was checked before the job succeeded, and after: rows, movement, the copy in storage, what is served."""
    job = await lifecycle.get(session, project_id, job_id)
    return proof_object(job, await proofs.of_job(session, job))


@router.get("/{job_id}/adapter", response_model=None)
async def adapter(
    job_id: str, project_id: ProjectId, services: Services, files: bool = False
) -> Response | dict[str, Any]:
    """The LoRA adapter as a zip, made while it is sent; with `files=true` its files, each with a presigned URL."""
    async with services.db.snapshot() as session:
        job = await lifecycle.get(session, project_id, job_id)
        if job.fine_tuned_model is None:
            raise NotFound(f"The job {job_id!r} is {job.status}. Only jobs that succeeded have an adapter.")
        prefix = (await tuned_models.get(session, project_id, job.fine_tuned_model)).prefix
    if files:
        about = {"object": "fine_tuning.job.adapter", "fine_tuning_job_id": job.id, "model": job.fine_tuned_model}
        return {**about, "files": await adapters.listed(services, prefix)}
    return await adapters.zipped(services, prefix, job.id)

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import ValidationError
from sse_starlette import EventSourceResponse

from api import zips
from api.deps import Held, ProjectId, Services, Snapshot, Transaction
from api.pagination import listing
from api.schemas.job import JobCreate, checkpoint_object, evaluation_object, event_object, job_object, method_of
from api.streaming import begun
from fettle import artifacts, events, jobs, queue, tuned_models
from fettle.errors import InvalidRequest, NotFound, from_schema
from models import LEGAL_MOVES, Project

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])

Limit = Annotated[int, Query(ge=1, le=100)]


@router.post("")
async def create(
    body: JobCreate,
    request: Request,
    project_id: ProjectId,
    session: Transaction,
    held: Held,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    x_stainless_retry_count: Annotated[int, Header()] = 0,
) -> dict[str, Any]:
    """Create a job. A request repeated by the SDK, or with its `Idempotency-Key`, answers with its first job."""
    try:
        method = method_of(body)
    except ValidationError as error:
        raise from_schema(error.errors(), within=("method",)) from error
    wanted = jobs.Request(
        model=body.model,
        training_file=body.training_file,
        validation_file=body.validation_file,
        method=method,
        seed=body.seed,
        suffix=body.suffix,
        metadata=body.metadata,
        body=orjson.loads(await request.body()),
        idempotency_key=idempotency_key,
        retry=x_stainless_retry_count > 0,
    )
    project = await session.get_one(Project, project_id)
    job, created = await jobs.create(session, project, wanted, held.models)
    if created:
        queue.ring_after_commit(session, job.id)
    return job_object(job)


@router.get("")
async def newest(
    request: Request, project_id: ProjectId, session: Snapshot, after: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    """Newest first; `metadata[k]=v` keeps the jobs that were created with it."""
    labels = {}
    for name, value in request.query_params.items():
        if name.startswith("metadata[") and name.endswith("]"):
            labels[name[len("metadata[") : -1]] = value
        elif name not in ("after", "limit"):
            raise InvalidRequest(f"Unknown parameter: {name!r}.", code="unknown_parameter", param=name)
    rows, has_more = await jobs.newest(session, project_id, labels=labels, after=after, limit=limit)
    return listing(rows, job_object, has_more)


@router.get("/{job_id}")
async def retrieve(job_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    return job_object(await jobs.get(session, project_id, job_id))


@router.post("/{job_id}/cancel")
async def cancel(job_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    return job_object(await jobs.cancel(session, project_id, job_id))


@router.get("/{job_id}/events")
async def list_events(
    job_id: str,
    project_id: ProjectId,
    session: Snapshot,
    held: Held,
    after: str | None = None,
    limit: Limit = 20,
    stream: bool = False,
) -> Any:
    """A page, newest first; with `stream=true` server-sent events from the first on until the job ends."""
    job = await jobs.get(session, project_id, job_id)
    if stream:
        return EventSourceResponse(stream_events(held, job.project_id, job.id))
    rows, has_more = await events.newest(session, job.id, after=after, limit=limit)
    return listing(rows, event_object, has_more)


async def stream_events(held: Services, project_id: str, job_id: str) -> AsyncIterator[dict[str, str]]:
    seq = 0
    while True:
        async with held.db.snapshot() as session:  # a fresh one each time: it sees what came since
            job = await jobs.get(session, project_id, job_id)
            rows = await events.since(session, job_id, seq)
        for row in rows:
            seq = row.seq
            yield {"id": row.id, "data": orjson.dumps(event_object(row)).decode()}
        if not rows:
            if not LEGAL_MOVES[job.status]:
                yield {"data": "[DONE]"}
                return
            await asyncio.sleep(held.settings.event_poll_seconds)


@router.get("/{job_id}/checkpoints")
async def list_checkpoints(
    job_id: str, project_id: ProjectId, session: Snapshot, after: str | None = None, limit: Limit = 10
) -> dict[str, Any]:
    job = await jobs.get(session, project_id, job_id)
    rows, has_more = await tuned_models.checkpoints(session, job.id, after=after, limit=limit)
    return listing(rows, checkpoint_object, has_more)


@router.get("/{job_id}/metrics")
async def metrics(job_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    """Columns of equal length, one value a step; null where a step has none."""
    job = await jobs.get(session, project_id, job_id)
    columns = events.columns(await events.metrics(session, job.id))
    return {"object": "fine_tuning.job.metrics", "fine_tuning_job_id": job.id, "columns": columns}


@router.get("/{job_id}/evaluation")
async def evaluation(job_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    """The base model against the tuned one on the validation file."""
    job = await jobs.get(session, project_id, job_id)
    return evaluation_object(job)


@router.get("/{job_id}/adapter")
async def adapter(job_id: str, project_id: ProjectId, held: Held) -> Response:
    """The LoRA adapter as a zip file."""
    async with held.db.snapshot() as session:
        job = await jobs.get(session, project_id, job_id)
        if job.fine_tuned_model is None:
            raise NotFound(f"The job {job_id!r} is {job.status}: only a job that succeeded has an adapter.")
        prefix = (await tuned_models.get(session, project_id, job.fine_tuned_model)).prefix
    names = await artifacts.names(held.storage, prefix)
    headers = {"content-disposition": f'attachment; filename="{job.id}.zip"'}
    return StreamingResponse(
        await begun(zips.stream(held.storage, prefix, names)), media_type="application/zip", headers=headers
    )

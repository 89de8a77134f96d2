"""One request, one job, however often a client sends it: by its Idempotency-Key, or by the body of a retry."""

import time

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import lock
from fettle.errors import Conflict
from fettle.jobs.planning import Request
from models import IdempotencyKey, Job, JobStatus

KEY_WINDOW = 24 * 3600  # seconds in which an Idempotency-Key is remembered, as in Stripe's API
RETRY_WINDOW = 3600  # seconds; the SDK's two retries of a request that times out after 600 s end within it
OVERTAKING_WINDOW = 60  # seconds by which a retry may arrive before its first try
LATE = "\n"  # begins the key for a first try that its retry has overtaken; no HTTP header can contain it


async def find(session: AsyncSession, project_id: str, request: Request) -> Job | None:
    """The job that another try of the request has made. Until the transaction ends, its other tries wait.

    Raises Conflict when the key came with another body.
    """
    await lock(session, f"{project_id} {request.idempotency_key or request.digest}")
    if request.idempotency_key is not None:
        return await of_key(session, project_id, request.idempotency_key, request.digest)
    if request.retry:
        return await of_body(session, project_id, request.digest)
    return await of_overtaken(session, project_id, request.digest)


async def remember(session: AsyncSession, request: Request, job: Job) -> None:
    """Ties the job to the request, for its tries that are still to come."""
    if request.idempotency_key is not None:
        key = request.idempotency_key
    elif request.retry:
        key = LATE + request.digest
    else:
        return  # a retry finds the job by its body
    row = IdempotencyKey(
        project_id=job.project_id, key=key, request_digest=request.digest, job_id=job.id, created_at=time.time()
    )
    await session.merge(row)  # replaces one that is too old to count


async def of_key(session: AsyncSession, project_id: str, key: str, digest: str) -> Job | None:
    """Raises Conflict."""
    known = await session.get(IdempotencyKey, (project_id, key))
    if known is None or known.created_at < time.time() - KEY_WINDOW:
        return None
    if known.request_digest != digest:
        raise Conflict(
            f"The Idempotency-Key {key!r} was used with another request body. Use a new key.",
            code="idempotency_key_reused",
        )
    return await session.get(Job, known.job_id)


async def of_body(session: AsyncSession, project_id: str, digest: str) -> Job | None:
    """What a retry finds: the newest job from the same body."""
    since = time.time() - RETRY_WINDOW
    statement = (
        select(Job)
        .where(Job.project_id == project_id, Job.request_digest == digest, Job.created_at > since)
        .where(Job.status.not_in([JobStatus.FAILED, JobStatus.CANCELLED]))  # after those, a request is a new one
        .order_by(Job.created_at.desc())
    )
    return (await session.scalars(statement.limit(1))).first()


async def of_overtaken(session: AsyncSession, project_id: str, digest: str) -> Job | None:
    """What a first try finds that arrives after its retry; the next request with the same body is a new one."""
    overtaken = await session.get(IdempotencyKey, (project_id, LATE + digest))
    if overtaken is None:
        return None
    await session.delete(overtaken)
    recent = overtaken.created_at > time.time() - OVERTAKING_WINDOW
    return await session.get(Job, overtaken.job_id) if recent else None

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api import audit
from api.deps import Caller, ProjectId, Room, Snapshot, Transaction
from api.pagination import listing
from api.schemas.batch import BatchCreate, batch_object
from fettle import queue
from fettle.batches import store

router = APIRouter(prefix="/v1/batches", tags=["chat"])


@router.post("")
async def create(body: BatchCreate, project_id: ProjectId, caller: Caller, session: Transaction) -> dict[str, Any]:
    """Answer a file of requests in the background. Chats go first."""
    batch = await store.create(
        session,
        project_id,
        endpoint=body.endpoint,
        input_file=body.input_file_id,
        completion_window=body.completion_window,
        output_expires_after=None if body.output_expires_after is None else body.output_expires_after.seconds,
        labels=body.metadata,
        created_by=caller.id,
    )
    await session.flush()
    audit.made(batch.id)
    queue.ring_after_commit(session, batch.id)
    return batch_object(batch)


@router.get("")
async def newest(
    project_id: ProjectId,
    session: Snapshot,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    rows, has_more = await store.newest(session, project_id, after=after, limit=limit)
    return listing(rows, batch_object, has_more)


@router.get("/{batch_id}")
async def retrieve(batch_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    return batch_object(await store.get(session, project_id, batch_id))


@router.post("/{batch_id}/cancel", dependencies=[Room])
async def cancel(batch_id: str, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Stop a batch. What is answered already is written to its files."""
    batch = await store.cancel(session, project_id, batch_id)
    queue.ring_after_commit(session, batch.id)
    return batch_object(batch)

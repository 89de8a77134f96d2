import secrets
import time
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession

from api import audit, generation, isolation, objects
from api.deps import Caller, ProjectId, Room, Services, Snapshot
from api.edge import multipart
from api.edge.middleware import MULTIPART_OVERHEAD
from api.pagination import listing
from api.schemas.file import file_object
from api.schemas.job import deleted_object
from api.streams.chunks import json_response, start_reading
from fettle.datasets import files, previews
from fettle.datasets.ingest import Upload
from fettle.errors import InvalidRequest
from fettle.methods.common import auto_length
from fettle.registry import catalog
from fettle.storage import deletions
from fettle.tenancy import quotas

router = APIRouter(prefix="/v1/files", tags=["files"])

ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"
FILES_AT_MOST = 100  # on a page: each has its validation report, with up to 50 problems


@router.post("")
async def create(request: Request, services: Services, project_id: ProjectId, caller: Caller) -> dict[str, Any]:
    """Upload a file (multipart: `file`, `purpose`). A dataset is validated before the answer."""
    allowed = quotas.defaults(services.settings)
    async with services.db.snapshot() as snapshot:
        await quotas.foresee_file(snapshot, project_id, declared_bytes(request), allowed)
    aside = services.uploads / secrets.token_hex(16)
    async with Upload(
        aside, services.checks, services.settings.max_row_bytes, project=project_id, pool=services.pool
    ) as upload:
        form = await multipart.read(request.headers.get("content-type", ""), upload.chunks(request.stream()), upload)
        purpose = form.fields.get("purpose")
        if form.filename is None:
            raise InvalidRequest("The upload has no part named 'file'.", param="file")
        if purpose not in files.PURPOSES:
            raise InvalidRequest(
                f"The purpose must be one of {', '.join(map(repr, files.PURPOSES))}, not {purpose!r}.", param="purpose"
            )
        if refused := sorted(set(form.fields) - {"purpose", ANCHOR, SECONDS}):
            raise InvalidRequest(f"Unknown parameter: {refused[0]!r}.", code="unknown_parameter", param=refused[0])
        seconds = expires_after(form.fields)
        file = await files.received(project_id, upload, form.filename, purpose)
        file.created_by = caller.id
        file.expires_at = None if seconds is None else time.time() + seconds

        async def keep(session: AsyncSession) -> None:
            await quotas.admit_file(session, project_id, file.bytes, allowed)
            session.add(file)
            audit.made(file.id)

        await objects.store(
            services, file, lambda: services.storage.put_file(file.storage_key, aside, keep=False), keep
        )
    return file_object(file)


def expires_after(fields: dict[str, str]) -> int | None:
    """Seconds; a form writes an object's fields as name[field]. Raises InvalidRequest."""
    if ANCHOR not in fields and SECONDS not in fields:
        return None
    shortest, longest = files.EXPIRES_SECONDS
    if (anchor := fields.get(ANCHOR)) != "created_at":
        raise InvalidRequest(f"{ANCHOR!r} must be 'created_at', not {anchor!r}.", param=ANCHOR)
    seconds = fields.get(SECONDS, "")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 10 and shortest <= int(seconds) <= longest):
        raise InvalidRequest(
            f"{SECONDS!r} must be a whole number from {shortest:,} to {longest:,}, not {seconds!r}.", param=SECONDS
        )
    return int(seconds)


def declared_bytes(request: Request) -> int:
    """Of the file, at least: the rest of the form is small."""
    length = request.headers.get("content-length", "")
    return max(0, int(length) - MULTIPART_OVERHEAD) if length.isdigit() else 0


@router.get("")
async def newest(
    project_id: ProjectId,
    session: Snapshot,
    purpose: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
) -> Response:
    """Your files. A page has at most 100 of them, whatever `limit` says; `has_more` says whether others follow."""
    rows, has_more = await files.newest(
        session,
        project_id,
        purpose=purpose,
        after=after,
        limit=min(limit, FILES_AT_MOST),
        newest_first=order == "desc",
    )
    return json_response(orjson.dumps(listing(rows, file_object, has_more)))


@router.get("/{file_id}")
async def retrieve(file_id: str, project_id: ProjectId, session: Snapshot) -> dict[str, Any]:
    return file_object(await files.get(session, project_id, file_id))


@router.get("/{file_id}/content")
async def content(file_id: str, project_id: ProjectId, services: Services) -> StreamingResponse:
    async with services.db.snapshot() as session:
        file = await files.get(session, project_id, file_id)
    kind = "text/csv" if file.filename.endswith(".csv") else "application/octet-stream"
    return StreamingResponse(await start_reading(services.storage.stream(file.storage_key)), media_type=kind)


@router.get("/{file_id}/preview")
async def preview(
    file_id: str,
    project_id: ProjectId,
    services: Services,
    model: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 5,
    offset: Annotated[int, Query(ge=0, le=100_000_000)] = 0,
    max_seq_length: Annotated[int | None, Query(ge=16, le=131_072)] = None,
) -> dict[str, Any]:
    """What a job on this model would train on: tokens and loss mask of rows, and statistics.

    `offset` passes over rows. Without `max_seq_length` it is what a job would take.
    """
    async with services.db.snapshot() as session:
        file = await files.get(session, project_id, file_id)
    if model is None:
        raise InvalidRequest("Missing required parameter: 'model'.", code="missing_required_parameter", param="model")
    found = await generation.find(services, project_id, model)
    entry = catalog.find(services.models, found.base_model)
    base = catalog.on_disk(found.base_model, entry)
    seen = await previews.preview(
        services.storage,
        file,
        isolation.look(services.pool, project_id, base),
        limit=limit,
        offset=offset,
        max_seq_length=max_seq_length or auto_length(entry.length),
        folder=services.uploads,
    )
    return {"object": "file.preview", "file_id": file.id, "model": found.name, **seen}


@router.get("/{file_id}/repeats")
async def repeats(
    file_id: str, project_id: ProjectId, services: Services, against: str | None = None
) -> dict[str, Any]:
    """Rows that the dataset has twice, and with `against` the prompts that it shares with another dataset.

    At most 100,000 rows of each are compared; `complete` says whether that was all. `near` has rows that differ from an
    earlier one only in case, punctuation or a few words; the first 5,000 rows are compared.
    """
    async with services.db.snapshot() as session:
        file = await files.get(session, project_id, file_id)
        other = None if against is None else await files.get(session, project_id, against)
    look = isolation.repeats(services.pool, project_id)
    found = await previews.repeats(services.storage, file, other, look, folder=services.uploads)
    return {"object": "file.repeats", "file_id": file.id, "against": against, **found}


@router.delete("/{file_id}", dependencies=[Room])
async def delete(file_id: str, project_id: ProjectId, services: Services) -> dict[str, Any]:
    async with audit.transaction(services.db) as session:
        file = await files.delete(session, project_id, file_id)
        await deletions.plan(session, file.storage_key)
    await deletions.carry_out(services.db, services.storage, file.storage_key)
    return deleted_object(file_id, "file")

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request

from api import audit, objects
from api.deps import Caller, ProjectId, Room, Services, Transaction
from api.edge import multipart
from api.schemas.upload import UploadComplete, UploadCreate, part_object, upload_object
from fettle import ids
from fettle.datasets import files, uploads
from fettle.datasets.ingest import Upload
from fettle.errors import Conflict, FettleError, InvalidRequest
from fettle.storage import Missing, deletions
from fettle.tenancy import quotas
from models import ChunkedUpload, File, UploadPart, UploadStatus

router = APIRouter(prefix="/v1/uploads", tags=["files"])


@router.post("")
async def create(body: UploadCreate, services: Services, project_id: ProjectId, session: Transaction) -> dict[str, Any]:
    """Begin a file that comes in parts. It expires an hour after its last part."""
    largest = services.settings.max_chunked_upload_bytes
    if body.bytes > largest:
        raise InvalidRequest(
            f"'bytes' is {body.bytes:,}, but the limit is {largest:,}. The operator can raise it "
            "(FETTLE_MAX_CHUNKED_UPLOAD_BYTES).",
            param="bytes",
        )
    upload = await uploads.create(
        session,
        project_id,
        filename=body.filename,
        purpose=body.purpose,
        mime_type=body.mime_type,
        size=body.bytes,
        file_expires_after=None if body.expires_after is None else body.expires_after.seconds,
        defaults=quotas.defaults(services.settings),
    )
    audit.made(upload.id)
    return upload_object(upload)


@router.get("/{upload_id}")
async def retrieve(upload_id: str, services: Services, project_id: ProjectId) -> dict[str, Any]:
    """An upload and the parts that have arrived, so that an interrupted client can go on."""
    async with services.db.snapshot() as session:
        upload = await uploads.get(session, project_id, upload_id)
        parts = await uploads.parts(session, upload)
        file = await session.get(File, upload.file_id) if upload.file_id else None
    return {**upload_object(upload, file), "parts": [part_object(part) for part in parts]}


@router.post("/{upload_id}/parts")
async def add_part(upload_id: str, request: Request, services: Services, project_id: ProjectId) -> dict[str, Any]:
    """Send one part (multipart: `data`), of at most 64 MiB. Parts may come in any order, and at the same time."""
    async with services.db.snapshot() as session:
        uploads.need_pending(upload := await uploads.get(session, project_id, upload_id))
    aside = services.uploads / secrets.token_hex(16)
    part_id = ids.new("part_")
    async with Upload(aside, services.checks, services.settings.max_row_bytes, validates=False) as received:
        form = await multipart.read(
            request.headers.get("content-type", ""), received.chunks(request.stream()), received, name="data"
        )
        if form.filename is None:
            raise InvalidRequest("The upload has no part named 'data'.", param="data")
        if form.fields:
            name = sorted(form.fields)[0]
            raise InvalidRequest(f"Unknown parameter: {name!r}.", code="unknown_parameter", param=name)
        await received.finish()
        if received.size == 0:
            raise InvalidRequest("The part 'data' is empty. Send at least one byte.", param="data")
        if received.size > uploads.PART_BYTES:
            raise InvalidRequest(
                f"The part has {received.size:,} bytes, but a part has at most {uploads.PART_BYTES:,}. "
                "Send smaller parts.",
                param="data",
            )
        key = uploads.part_key(upload, part_id)
        await services.storage.put_file(key, aside, keep=False)
        try:
            async with services.db.transaction() as session:
                part = await uploads.add_part(session, project_id, upload_id, part_id, received.size)
        except FettleError:
            await services.storage.delete(key)
            raise
    return part_object(part)


@router.post("/{upload_id}/complete")
async def complete(
    upload_id: str, body: UploadComplete, services: Services, project_id: ProjectId, caller: Caller
) -> dict[str, Any]:
    """Put the parts together in the order of `part_ids`. The file is checked as any other upload is."""
    async with services.db.transaction() as session:
        upload = await uploads.get(session, project_id, upload_id, lock=True)
        if upload.status == UploadStatus.COMPLETED and upload.part_ids == body.part_ids:
            return upload_object(upload, await session.get(File, upload.file_id))  # the first try of this request
        uploads.need_pending(upload)
        parts = await uploads.chosen(session, upload, body.part_ids)
        await uploads.extend(session, upload)
    aside = services.uploads / secrets.token_hex(16)
    async with Upload(
        aside,
        services.checks,
        services.settings.max_row_bytes,
        project=project_id,
        pool=services.pool,
        validates=upload.purpose == files.PURPOSE,
    ) as whole:
        digest = hashlib.md5(usedforsecurity=False)
        try:
            async for chunk in whole.chunks(content(services, upload, parts)):
                await asyncio.to_thread(digest.update, chunk)
                whole.write(chunk)
        except Missing as error:
            raise Conflict(
                f"The upload {upload_id!r} expired, and its parts were deleted. Create a new upload.",
                code="upload_not_pending",
            ) from error
        if body.md5 is not None and digest.hexdigest() != body.md5.lower():
            raise InvalidRequest(
                f"The parts' MD5 checksum is {digest.hexdigest()}, not {body.md5}. Check the order of 'part_ids', and "
                "send the parts again.",
                code="md5_mismatch",
                param="md5",
            )
        file = await files.received(project_id, whole, upload.filename, upload.purpose)
        file.created_by = caller.id

        async def keep(session: Any) -> ChunkedUpload:
            done, _ = await uploads.complete(
                session, upload_id, body.part_ids, file, quotas.defaults(services.settings)
            )
            return done

        done = await objects.store(
            services, file, lambda: services.storage.put_file(file.storage_key, aside, keep=False), keep
        )
    if done.file_id != file.id:  # another try of the same request was faster
        async with services.db.snapshot() as session:
            return upload_object(done, await session.get(File, done.file_id))
    await deletions.carry_out(services.db, services.storage, uploads.folder(upload))
    return upload_object(done, file)


async def content(services: Services, upload: ChunkedUpload, parts: list[UploadPart]) -> AsyncIterator[bytes]:
    for part in parts:
        async for chunk in services.storage.stream(uploads.part_key(upload, part.id)):
            yield chunk


@router.post("/{upload_id}/cancel", dependencies=[Room])
async def cancel(upload_id: str, services: Services, project_id: ProjectId) -> dict[str, Any]:
    """Give an upload up. Its parts are deleted."""
    async with audit.transaction(services.db) as session:
        upload = await uploads.cancel(session, project_id, upload_id)
    await deletions.carry_out(services.db, services.storage, uploads.folder(upload))
    return upload_object(upload)

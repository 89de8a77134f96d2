"""Uploads in parts: a file of gigabytes comes in pieces that can be sent again, and becomes one file at the end.

An upload's objects are written down as deletions from its first moment, due when it expires; each part moves that
time on. So whatever happens, its parts leave storage by themselves.
"""

import time
from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.datasets import files
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.storage import deletions
from fettle.tenancy import quotas
from models import ChunkedUpload, File, UploadPart, UploadStatus

LIFETIME = 3600  # seconds from the creation and from each part, as at OpenAI
PART_BYTES = 64 << 20  # OpenAI's limit
PARTS_AT_MOST = 2_000
KEPT_SECONDS = 7 * 24 * 3600  # the row of an upload that is over


def folder(upload: ChunkedUpload) -> str:
    return f"uploads/{upload.project_id}/{upload.id}"


def part_key(upload: ChunkedUpload, part_id: str) -> str:
    return f"{folder(upload)}/{part_id}"


def status(upload: ChunkedUpload) -> str:
    if upload.status == UploadStatus.PENDING and upload.expires_at <= time.time():
        return "expired"
    return str(upload.status)


async def create(
    session: AsyncSession,
    project_id: str,
    *,
    filename: str,
    purpose: str,
    mime_type: str,
    size: int,
    file_expires_after: int | None,
    defaults: quotas.Limits = quotas.UNLIMITED,
) -> ChunkedUpload:
    """Its bytes count from now on, so that parts cannot fill storage past a quota. Raises QuotaExceeded."""
    await quotas.admit_file(session, project_id, size, defaults)
    upload = ChunkedUpload(
        id=ids.new("upload_"),
        project_id=project_id,
        filename=files.plain_name(filename),
        purpose=purpose,
        mime_type=mime_type,
        bytes=size,
        file_expires_after=file_expires_after,
        status=UploadStatus.PENDING,
        expires_at=time.time() + LIFETIME,
    )
    session.add(upload)
    await session.flush()
    await deletions.plan(session, folder(upload), seconds=LIFETIME)
    return upload


async def get(session: AsyncSession, project_id: str, upload_id: str, *, lock: bool = False) -> ChunkedUpload:
    upload = await session.get(ChunkedUpload, upload_id, with_for_update=lock)
    if upload is None or upload.project_id != project_id:
        raise NotFound(f"No upload has the id {upload_id!r}.", param="upload_id")
    return upload


async def parts(session: AsyncSession, upload: ChunkedUpload) -> list[UploadPart]:
    """Oldest first."""
    statement = select(UploadPart).where(UploadPart.upload_id == upload.id)
    return list(await session.scalars(statement.order_by(UploadPart.created_at, UploadPart.id)))


def need_pending(upload: ChunkedUpload) -> None:
    """Raises Conflict."""
    if (now := status(upload)) != UploadStatus.PENDING:
        raise Conflict(
            f"The upload {upload.id!r} is {now}, so it takes nothing more. Create a new upload.",
            code="upload_not_pending",
        )


async def extend(session: AsyncSession, upload: ChunkedUpload) -> None:
    """The upload is in use: it has another hour."""
    upload.expires_at = time.time() + LIFETIME
    await deletions.plan(session, folder(upload), seconds=LIFETIME)


async def add_part(session: AsyncSession, project_id: str, upload_id: str, part_id: str, size: int) -> UploadPart:
    """The object is in storage already. Raises NotFound, Conflict, and InvalidRequest for more than was announced."""
    upload = await get(session, project_id, upload_id, lock=True)
    need_pending(upload)
    room = select(func.count(), func.coalesce(func.sum(UploadPart.bytes), 0))
    count, used = (await session.execute(room.where(UploadPart.upload_id == upload_id))).one()
    if count >= PARTS_AT_MOST:
        raise InvalidRequest(
            f"The upload {upload_id!r} has {count:,} parts already, which is the limit. Send larger parts.",
            param="data",
        )
    if used + size > 2 * upload.bytes:  # a part may be sent again; its first copy goes with the upload
        raise InvalidRequest(
            f"The upload {upload_id!r} was created for {upload.bytes:,} bytes, and its parts have {used:,} already; "
            f"this one adds {size:,}. Cancel it and create one with the right 'bytes'.",
            param="data",
        )
    part = UploadPart(id=part_id, upload_id=upload_id, bytes=size, created_at=time.time())
    session.add(part)
    await extend(session, upload)
    return part


async def chosen(session: AsyncSession, upload: ChunkedUpload, part_ids: Sequence[str]) -> list[UploadPart]:
    """The parts in the order of the request. Raises InvalidRequest where they are not the upload's bytes."""
    known = {part.id: part for part in await parts(session, upload)}
    for index, part_id in enumerate(part_ids):
        if part_id not in known:
            raise InvalidRequest(
                f"The upload {upload.id!r} has no part {part_id!r}. GET /v1/uploads/{upload.id} lists its parts.",
                param=f"part_ids[{index}]",
            )
    if len(set(part_ids)) != len(part_ids):
        twice = next(part_id for part_id in part_ids if part_ids.count(part_id) > 1)
        raise InvalidRequest(f"'part_ids' has the part {twice!r} twice. Name each part once.", param="part_ids")
    found = [known[part_id] for part_id in part_ids]
    total = sum(part.bytes for part in found)
    if total != upload.bytes:
        raise InvalidRequest(
            f"The parts have {total:,} bytes, but the upload was created for {upload.bytes:,}. "
            "Send the parts that are missing, or cancel it and create one with the right 'bytes'.",
            code="bytes_mismatch",
            param="part_ids",
        )
    return found


async def complete(
    session: AsyncSession, upload_id: str, part_ids: list[str], file: File, defaults: quotas.Limits
) -> tuple[ChunkedUpload, bool]:
    """The upload, and whether this file is its own: a retried request finds what its first try made.

    Raises Conflict, QuotaExceeded.
    """
    upload = await get(session, file.project_id, upload_id, lock=True)
    if upload.status == UploadStatus.COMPLETED and upload.part_ids == part_ids:
        return upload, False
    if upload.status != UploadStatus.PENDING:
        need_pending(upload)
    upload.status, upload.part_ids, upload.file_id = UploadStatus.COMPLETED, part_ids, file.id
    await session.flush()  # the upload's bytes no longer count; the file's do
    await quotas.admit_file(session, file.project_id, file.bytes, defaults)
    if upload.file_expires_after is not None:
        file.expires_at = time.time() + upload.file_expires_after
    session.add(file)
    await deletions.plan(session, folder(upload))
    return upload, True


async def cancel(session: AsyncSession, project_id: str, upload_id: str) -> ChunkedUpload:
    """Raises NotFound, Conflict."""
    upload = await get(session, project_id, upload_id, lock=True)
    need_pending(upload)
    upload.status = UploadStatus.CANCELLED
    await deletions.plan(session, folder(upload))
    return upload


async def sweep(session: AsyncSession) -> None:
    """Deletes the rows of uploads that have been over for a week. Their objects went long before."""
    old = select(ChunkedUpload.id).where(ChunkedUpload.expires_at < time.time() - KEPT_SECONDS)
    await session.execute(delete(UploadPart).where(UploadPart.upload_id.in_(old)))
    await session.execute(delete(ChunkedUpload).where(ChunkedUpload.id.in_(old)))

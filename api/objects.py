"""Objects in storage and the rows that name them: both come, or neither stays."""

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from api import audit
from api.deps import AppState
from fettle.datasets import files
from fettle.datasets.ingest import Upload
from fettle.db import DATABASE_AWAY
from fettle.errors import InvalidRequest
from fettle.registry import tuned_models
from fettle.storage import deletions
from fettle.tenancy import quotas
from models import File, FileStatus, TunedModel

Kept = TypeVar("Kept")


async def store(
    services: AppState,
    row: File | TunedModel,
    put: Callable[[], Awaitable[object]],
    keep: Callable[[AsyncSession], Awaitable[Kept]],
) -> Kept:
    """put: stores the objects. keep: adds the row, or leaves it out. Raises what they raise."""
    key = key_of(row)
    async with services.db.transaction() as session:  # first: whatever happens now, no object stays without its row
        await deletions.plan(session, key, seconds=deletions.UPLOAD_SECONDS)
    try:
        await put()
        async with audit.transaction(services.db) as session:
            kept = await keep(session)
            if added := row in session:
                await deletions.strike_out(session, key)
    except Exception:  # after a cancellation, the plan deletes them
        await discard(services, row)
        raise
    if not added:
        await discard(services, row)
    return kept


async def discard(services: AppState, row: File | TunedModel) -> None:
    """Deletes the objects of a row that was refused; their plan stays where a row has come to name them after all."""
    key = key_of(row)
    named = files.named if isinstance(row, File) else tuned_models.stored_at
    try:
        async with services.db.snapshot() as session:
            kept = await named(session, key)  # a commit may have gone through whose answer was lost
    except DATABASE_AWAY:
        return
    if not kept:
        await deletions.carry_out(services.db, services.storage, key)


def key_of(row: File | TunedModel) -> str:
    return row.storage_key if isinstance(row, File) else row.prefix


async def write(
    services: AppState,
    project_id: str,
    filename: str,
    content: bytes,
    keep: Callable[[AsyncSession, File], Awaitable[Kept]],
) -> Kept:
    """A dataset file that the server itself writes, checked as an upload is.

    keep: adds the file's row, in the transaction in which the quotas are checked. Raises what `keep` raises.
    """
    aside = services.uploads / secrets.token_hex(16)
    async with Upload(
        aside, services.checks, services.settings.max_row_bytes, project=project_id, pool=services.pool
    ) as upload:
        upload.write(content)
        file = files.described(project_id, aside, filename, await upload.report())
        if file.status == FileStatus.ERROR:
            raise InvalidRequest(f"{filename}: {(file.report or {})['summary']}", code="invalid_file")

        async def admit(session: AsyncSession) -> Kept:
            await quotas.admit_file(session, project_id, file.bytes, quotas.defaults(services.settings))
            return await keep(session, file)

        return await store(
            services, file, lambda: services.storage.put_file(file.storage_key, aside, keep=False), admit
        )

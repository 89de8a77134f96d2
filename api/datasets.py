"""Dataset files that the server itself writes: checked and stored as an upload is."""

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from api.deps import AppState
from api.routes.files import discard
from fettle.datasets import files
from fettle.datasets.ingest import Upload
from fettle.errors import InvalidRequest
from fettle.storage import deletions
from fettle.tenancy import quotas
from models import File, FileStatus

Kept = TypeVar("Kept")


async def write(
    services: AppState,
    project_id: str,
    filename: str,
    content: bytes,
    keep: Callable[[AsyncSession, File], Awaitable[Kept]],
) -> Kept:
    """keep: adds the file's row, in the transaction in which the quotas are checked. Raises what `keep` raises."""
    aside = services.uploads / secrets.token_hex(16)
    async with Upload(
        aside, services.checks, services.settings.max_row_bytes, project=project_id, pool=services.pool
    ) as upload:
        upload.write(content)
        file = files.described(project_id, aside, filename, await upload.report())
        if file.status == FileStatus.ERROR:
            raise InvalidRequest(f"{filename}: {(file.report or {})['summary']}", code="invalid_file")
        async with services.db.transaction() as session:
            await deletions.plan(session, file.storage_key, seconds=deletions.UPLOAD_SECONDS)
        try:
            await services.storage.put_file(file.storage_key, aside, keep=False)
            async with services.db.transaction() as session:
                await quotas.admit_file(session, project_id, file.bytes, quotas.defaults(services.settings))
                await deletions.strike_out(session, file.storage_key)
                kept = await keep(session, file)
        except Exception:  # after a cancellation, the plan deletes it
            await discard(services, file.storage_key)
            raise
    return kept

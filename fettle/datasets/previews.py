"""Previews of stored files: enough of one is fetched, and looked at off the event loop."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fettle.datasets.files import PURPOSE
from fettle.datasets.formats import reading
from fettle.errors import InvalidRequest
from fettle.storage import Storage
from models import File, FileStatus

Look = Callable[..., Awaitable[dict[str, Any]]]

HEAD = 16 << 20  # bytes read of a file whose beginning can be read alone


async def preview(
    storage: Storage, file: File, look: Look, *, limit: int, max_seq_length: int | None, folder: Path, offset: int = 0
) -> dict[str, Any]:
    """look: as `formats.preview.look` with a base model's folder, outside of this process.

    folder: for the bytes meanwhile. Raises InvalidRequest, Missing.
    """
    return await examine(storage, file, look, folder=folder, limit=limit, max_seq_length=max_seq_length, offset=offset)


async def repeats(storage: Storage, file: File, other: File | None, look: Look, *, folder: Path) -> dict[str, Any]:
    """look: as `formats.repeats.look`, outside of this process. other: whose prompts are compared.

    Raises InvalidRequest, Missing.
    """
    async with fetched(storage, file, folder) as (path, whole):
        if other is None:
            return await look(path=path, whole=whole, other=None, other_whole=False)
        async with fetched(storage, other, folder) as (other_path, other_whole):
            return await look(path=path, whole=whole, other=other_path, other_whole=other_whole)


async def examine(storage: Storage, file: File, look: Look, *, folder: Path, **asked: Any) -> dict[str, Any]:
    """What `look` says of the beginning of a dataset, or of all of it (`whole`). Raises InvalidRequest, Missing."""
    async with fetched(storage, file, folder) as (path, whole):
        return await look(path=path, whole=whole, **asked)


@asynccontextmanager
async def fetched(storage: Storage, file: File, folder: Path) -> AsyncIterator[tuple[str, bool]]:
    """A dataset's beginning on the local disk, and whether it is all of it. Raises InvalidRequest, Missing."""
    if file.purpose != PURPOSE:
        raise InvalidRequest(
            f"The file {file.id!r} has the purpose {file.purpose!r}. Only files with the purpose {PURPOSE!r} "
            "have previews.",
            param="file_id",
        )
    if file.status == FileStatus.ERROR:
        raise InvalidRequest(f"{file.filename}: {(file.report or {})['summary']}", code="invalid_file", param="file_id")
    with tempfile.NamedTemporaryFile(dir=folder, prefix="preview-") as aside:
        yield aside.name, await fetch(storage, file, Path(aside.name))


async def fetch(storage: Storage, file: File, path: Path) -> bool:
    """Its first HEAD bytes, up to the end of a line; all of a file that cannot be read otherwise. Was that all?"""
    with path.open("wb") as sink:
        form = None
        async for chunk in storage.stream(file.storage_key):
            form = form or reading.recognise(chunk[: reading.HEAD])[0]
            await asyncio.to_thread(sink.write, chunk)
            if reading.streams(form) and sink.tell() >= HEAD:
                break
        size = sink.tell()
    if size == file.bytes:
        return True
    with path.open("rb+") as sink:
        sink.seek(max(0, size - HEAD))
        sink.truncate(sink.tell() + sink.read().rfind(b"\n") + 1)
    return False

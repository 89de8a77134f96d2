"""Folders in storage that are whole or not there: every file's sha256 in a manifest, and the manifest last."""

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fettle.storage import Missing, Storage

MANIFEST = "manifest.json"


class Corrupt(Exception):
    """What storage gave back is not what was put there."""


class Entry(BaseModel):
    sha256: str
    bytes: int


class Manifest(BaseModel):
    files: dict[str, Entry]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def upload(storage: Storage, folder: Path, prefix: str) -> None:
    files: dict[str, Entry] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        files[path.name] = Entry(sha256=await asyncio.to_thread(digest, path), bytes=path.stat().st_size)
        await storage.put_file(f"{prefix}/{path.name}", path)
    await put_bytes(storage, f"{prefix}/{MANIFEST}", Manifest(files=files).model_dump_json(indent=2).encode())


async def manifest(storage: Storage, prefix: str) -> Manifest:
    """Raises Missing when there is none, Corrupt when it cannot be read."""
    key = f"{prefix}/{MANIFEST}"
    try:
        return Manifest.model_validate_json(await storage.read(key))
    except ValidationError as error:
        raise Corrupt(f"{key} is not a manifest") from error


async def download(storage: Storage, prefix: str, folder: Path, only: Sequence[str] | None = None) -> None:
    """Fetches and checks the files (those named, or all). Nothing is left behind when it raises.

    Raises Missing when there is no manifest or a file is gone, Corrupt when a file's sha256 is not the manifest's.
    """
    files = (await manifest(storage, prefix)).files
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name in only or files:
            if name not in files or Path(name).name != name:
                raise Missing(f"{prefix}/{name}")
            await storage.get_file(f"{prefix}/{name}", folder / name)
            if await asyncio.to_thread(digest, folder / name) != files[name].sha256:
                raise Corrupt(f"{prefix}/{name} does not have the sha256 of its manifest")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


async def put_bytes(storage: Storage, key: str, content: bytes) -> None:
    async def once() -> Any:
        yield content

    await storage.put(key, once())

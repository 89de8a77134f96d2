"""Folders in storage that are whole or not there: every file's sha256 in a manifest, and the manifest last."""

import asyncio
import hashlib
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fettle.storage import Missing, Storage

MANIFEST = "manifest.json"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")  # what a run goes on from
ADAPTER_FILES = frozenset(  # of a published adapter: nothing that could run, and nothing that nobody expects
    {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }
)


class Corrupt(Exception):
    """What storage gave back is not what was put there."""


class Unexpected(Exception):
    """A folder that is to be published holds what an adapter does not have."""


class Entry(BaseModel):
    sha256: str
    bytes: int


class Manifest(BaseModel):
    files: dict[str, Entry]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def upload(storage: Storage, folder: Path, prefix: str, only: Collection[str] | None = None) -> None:
    """Stores the folder. Raises Unexpected when it holds anything but files named in `only`; then nothing is stored."""
    if only is not None and (strange := sorted(path.name for path in folder.iterdir() if not plain(path, only))):
        raise Unexpected(f"The adapter's folder holds {strange[0]!r}, which is not one of: {', '.join(sorted(only))}.")
    files: dict[str, Entry] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        files[path.name] = Entry(sha256=await asyncio.to_thread(digest, path), bytes=path.stat().st_size)
        await storage.put_file(f"{prefix}/{path.name}", path)
    await put_manifest(storage, prefix, Manifest(files=files))


def plain(path: Path, only: Collection[str]) -> bool:
    return path.name in only and path.is_file() and not path.is_symlink()


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
    except BaseException:  # cancelled too: no half of an artifact stays
        shutil.rmtree(folder, ignore_errors=True)
        raise


async def trim(storage: Storage, prefix: str, names: Sequence[str]) -> None:
    """Takes files out of an artifact, which is whole at every moment. Raises Missing and Corrupt."""
    kept = {name: entry for name, entry in (await manifest(storage, prefix)).files.items() if name not in names}
    await put_manifest(storage, prefix, Manifest(files=kept))
    for name in names:
        await storage.delete(f"{prefix}/{name}")


async def put_manifest(storage: Storage, prefix: str, whole: Manifest) -> None:
    await put_bytes(storage, f"{prefix}/{MANIFEST}", whole.model_dump_json(indent=2).encode())


async def put_bytes(storage: Storage, key: str, content: bytes) -> None:
    async def once() -> Any:
        yield content

    await storage.put(key, once())

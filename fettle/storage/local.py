"""Storage in a folder: written aside, flushed to disk, then renamed into place."""

import asyncio
import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from fettle.storage import stale_files
from fettle.storage.protocol import Away, Missing, Refused

CHUNK = 1 << 20
REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS}
AWAY = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH}  # of a network's


class LocalStorage:
    def __init__(self, root: str) -> None:
        self.root = Path(root)
        self.aside = self.root / ".aside"  # same file system as the objects, so that a rename is atomic
        self.aside.mkdir(parents=True, exist_ok=True)
        stale_files.sweep(self.aside)

    def path(self, key: str) -> Path:
        parts = key.split("/")
        if not key or any(part in ("", ".", "..", ".aside") for part in parts):
            raise ValueError(f"not a storage key: {key!r}")
        return self.root.joinpath(*parts)

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> int:
        target, aside = self.path(key), self.aside / secrets.token_hex(16)
        size = 0
        try:
            with self._translate_errors(key):
                file = aside.open("wb")
            with file:
                async for chunk in chunks:
                    with self._translate_errors(key):
                        await asyncio.to_thread(file.write, chunk)
                    size += len(chunk)
            with self._translate_errors(key):
                await asyncio.to_thread(self._place, aside, target)
        finally:
            aside.unlink(missing_ok=True)
        return size

    async def put_file(self, key: str, path: Path, *, keep: bool = True) -> None:
        def copy() -> None:
            aside = self.aside / secrets.token_hex(16)
            try:
                shutil.copyfile(path, aside) if keep else shutil.move(path, aside)
                self._place(aside, self.path(key))
            finally:
                aside.unlink(missing_ok=True)

        with self._translate_errors(key):
            await asyncio.to_thread(copy)

    def _place(self, aside: Path, target: Path) -> None:
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(target)

    async def get_file(self, key: str, path: Path) -> None:
        with self._translate_errors(key):
            await asyncio.to_thread(shutil.copyfile, self._existing(key), path)

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        with self._translate_errors(key), self._existing(key).open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk

    async def read(self, key: str) -> bytes:
        with self._translate_errors(key):
            return await asyncio.to_thread(self._existing(key).read_bytes)

    async def sizes(self, prefix: str) -> dict[str, int]:
        def walk() -> dict[str, int]:
            folder = self.path(prefix)
            found = {}
            for path in [folder, *folder.rglob("*")]:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # deleted meanwhile
                    if path.is_file():
                        found[path.relative_to(self.root).as_posix()] = path.stat().st_size
            return dict(sorted(found.items()))

        with self._translate_errors(prefix):
            return await asyncio.to_thread(walk)

    async def list(self, prefix: str) -> list[str]:
        return list(await self.sizes(prefix))

    async def presign(self, key: str, seconds: int) -> str | None:
        return None

    async def delete(self, prefix: str) -> None:
        def remove() -> None:
            path = self.path(prefix)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

        with self._translate_errors(prefix):
            await asyncio.to_thread(remove)

    @contextlib.contextmanager
    def _translate_errors(self, key: str) -> Iterator[None]:
        """What the system says of our folder, as the protocol's errors; a full disk stays an OSError."""
        try:
            yield
        except OSError as error:
            kind = Refused if error.errno in REFUSALS else Away if error.errno in AWAY else None
            if kind is None or not str(error.filename or self.root).startswith(str(self.root)):
                raise
            raise kind(key, error.strerror or "I/O error") from error

    def _existing(self, key: str) -> Path:
        path = self.path(key)
        if not path.is_file():
            raise Missing(key)
        return path

"""A backup's folder: objects by their storage keys, an index with their hashes, the database as a file, the seal last.

Without a seal there is no backup. A second backup into the same folder adds to it, and the seal of the first one
holds until the second one takes its place.
"""

import errno
import fcntl
import hashlib
import hmac
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from fettle.errors import FettleError
from fettle.host import data_folder
from fettle.storage import LocalStorage, Storage

FORMAT = 1
SEAL = "backup.json"
TABLE = "CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, bytes INTEGER, sha256 TEXT, backup TEXT)"


class Seal(BaseModel):
    """What a backup is, written when all of it is there."""

    format: Literal[1]
    fettle: str  # the version
    id: str
    taken_at: float  # seconds since 1970: the moment that the database is of
    revision: str  # of the schema
    dialect: str  # what the database was
    rows: dict[str, int]  # by table
    database_sha256: str
    secret: str  # the fingerprint of FETTLE_SECRET
    objects: int
    bytes: int
    lost: dict[str, str]  # key → why an object that the database names could not be copied


class Damaged(FettleError):
    """The backup is not what it was when it was made."""


class Archive:
    """An open folder. objects: the copies, under their keys."""

    def __init__(self, folder: Path, index: sqlite3.Connection) -> None:
        self.folder, self.index = folder, index
        self.objects = LocalStorage(str(folder / "objects"))

    def database(self, backup: str) -> Path:
        return self.folder / f"database-{backup}.sqlite"

    def seal(self) -> Seal:
        """Raises FettleError where no backup was finished, or a newer Fettle made it."""
        file = self.folder / SEAL
        if not file.is_file():
            raise FettleError(f"{self.folder} has no finished backup: {SEAL} is missing. Run `fettle backup` again.")
        try:
            return Seal.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise FettleError(
                f"{file} is not a seal of format {FORMAT}. Restore with the version of Fettle that made the backup."
            ) from error

    def write_seal(self, seal: Seal) -> None:
        aside = self.folder / f"{SEAL}.new"
        aside.write_text(seal.model_dump_json(indent=2) + "\n")
        aside.replace(self.folder / SEAL)

    def known(self, key: str) -> tuple[int, str] | None:
        """(bytes, sha256) of a copy. None: there is none."""
        found: tuple[int, str] | None = self.index.execute(
            "SELECT bytes, sha256 FROM objects WHERE key = ?", (key,)
        ).fetchone()
        return found

    def has(self, key: str) -> bool:
        """Whether a copy of the size that the index says is there."""
        found, path = self.known(key), self.objects.path(key)
        return found is not None and path.is_file() and path.stat().st_size == found[0]

    def note(self, key: str, size: int, sha256: str, backup: str) -> None:
        self.index.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (key, size, sha256, backup))

    def keep(self, key: str, backup: str) -> None:
        """A copy from before is part of this backup as well."""
        self.index.execute("UPDATE objects SET backup = ? WHERE key = ?", (backup, key))

    def totals(self, backup: str) -> tuple[int, int]:
        """(objects, bytes)"""
        found: tuple[int, int] = self.index.execute(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM objects WHERE backup = ?", (backup,)
        ).fetchone()
        return found

    async def prune(self, backup: str) -> None:
        """Deletes what only earlier backups needed."""
        for (key,) in self.index.execute("SELECT key FROM objects WHERE backup != ?", (backup,)).fetchall():
            await self.objects.delete(key)
            self.index.execute("DELETE FROM objects WHERE key = ?", (key,))
        for file in self.folder.glob("database-*"):
            if file != self.database(backup):
                file.unlink()


@contextmanager
def opened(folder: Path, *, new: bool = False) -> Iterator[Archive]:
    """One process at a time. new: the folder may be empty, or absent. Raises FettleError."""
    if new:
        need_ours(folder)
        data_folder.prepare(folder)  # it holds all that the database holds
    elif not (folder / SEAL).is_file() and not (folder / "index.sqlite").is_file():
        raise FettleError(f"{folder} is not a backup: it has no {SEAL}.")
    with locked(folder) as writable, closing(open_index(folder / "index.sqlite", writable)) as index:
        index.isolation_level = None
        if writable:
            index.execute(TABLE)
        yield Archive(folder, index)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Whether the folder can be written to: on a read-only file system it has no lock. Raises FettleError."""
    try:
        lock = (folder / "lock").open("a")
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        yield False
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FettleError(f"Another `fettle backup` or `fettle restore` is using {folder}. Wait for it.") from None
        yield True


def open_index(file: Path, writable: bool) -> sqlite3.Connection:
    if writable:
        return sqlite3.connect(file)
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def need_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FettleError(f"{folder} is not a folder. Name a new folder for the backup.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "index.sqlite").is_file():
        raise FettleError(f"{folder} has other files and no backup. Name a new folder, or one with a backup.")


def fingerprint(secret: bytes) -> str:
    """Tells two secrets apart and gives neither away."""
    return hmac.new(secret, b"fettle backup", hashlib.sha256).hexdigest()


class Measured:
    """A stream's chunks as they pass, with their size and sha256 so far."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.chunks, self.size, self.hash = chunks, 0, hashlib.sha256()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.chunks:
            self.size += len(chunk)
            self.hash.update(chunk)
            yield chunk


async def digest(storage: Storage, key: str) -> str:
    """Of an object, read once. Raises Missing."""
    measured = Measured(storage.stream(key))
    async for _ in measured:
        pass
    return measured.hash.hexdigest()

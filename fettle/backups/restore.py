"""Puts a backup into an empty installation: storage first, then the database, in one transaction.

So an interrupted restore leaves no database behind, and the same command goes on where it stopped. Every object is
hashed in the backup before it is stored, and read back from storage.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fettle import migrate
from fettle.backups import archive, database, references
from fettle.backups.archive import Archive, Damaged, Seal
from fettle.backups.backup import each
from fettle.db import Database
from fettle.errors import Conflict, FettleError
from fettle.jobs import workers
from fettle.storage import Missing, Storage, artifacts

ROOTS = ("adapters", "files", "jobs", "uploads")  # of storage
ALIVE_SECONDS = 60  # a worker that wrote to the database within them is running


@dataclass
class Progress:
    checked: int = 0  # objects of the backup
    stored: int = 0
    stored_bytes: int = 0
    there: int = 0  # that an interrupted restore had stored


async def check(folder: Path, progress: Progress | None = None) -> Seal:
    """Hashes the whole backup and writes nothing. Raises Damaged, FettleError."""
    progress = progress or Progress()
    with archive.opened(folder) as kept:
        seal = kept.seal()
        async with sound_dump(kept, seal) as dump:
            await each(keys(kept, seal, dump), lambda key: check_object(kept, key, progress))
    return seal


async def restore(
    db: Database,
    storage: Storage,
    folder: Path,
    secret: bytes,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Seal:
    """overwrite: the database may have rows, and storage objects; what the backup does not have stays in storage.

    Raises Conflict where the target is in use, Damaged and FettleError.
    """
    progress = progress or Progress()
    with archive.opened(folder) as kept:
        seal = kept.seal()
        async with sound_dump(kept, seal) as dump:
            if not overwrite:
                await need_empty(db, storage, kept)
                need_secret(seal, secret)
            await need_idle(db)
            await each(keys(kept, seal, dump), lambda key: put(kept, storage, key, progress))
            await database.load(dump, db)
            await need_same_rows(db, dump)
    return seal


@asynccontextmanager
async def sound_dump(kept: Archive, seal: Seal) -> AsyncIterator[Path]:
    """The database of the backup with this release's schema. Raises Damaged, and FettleError for a newer schema."""
    dump = kept.database(seal.id)
    if not dump.is_file() or await asyncio.to_thread(artifacts.digest, dump) != seal.database_sha256:
        raise Damaged(f"{dump} is missing, or has changed since it was written. Restore another backup.")
    known = migrate.known()
    if seal.revision not in known:
        raise FettleError(
            f"Fettle {seal.fettle} made the backup with schema {seal.revision}, and this release knows schemas up to "
            f"{known[0]}. Restore with that release or a later one."
        )
    if seal.revision == known[0]:
        yield dump
        return
    with tempfile.TemporaryDirectory(prefix="fettle-restore-") as folder:
        copy = Path(folder, "database.sqlite")
        await asyncio.to_thread(shutil.copyfile, dump, copy)
        await database.bring_up(copy)
        yield copy


def keys(kept: Archive, seal: Seal, dump: Path) -> Iterator[str]:
    """Every object that the database names, but for those that were lost when the backup was made."""
    for key in references.objects(dump, seal.taken_at):
        if key not in seal.lost:
            yield key
    for prefix in references.folders(dump):
        manifest = f"{prefix}/{artifacts.MANIFEST}"
        if manifest in seal.lost:
            continue
        path = kept.objects.path(manifest)
        files = artifacts.Manifest.model_validate_json(path.read_bytes()).files if path.is_file() else {}
        yield from (key for name in files if (key := f"{prefix}/{name}") not in seal.lost)
        yield manifest  # last: without it there is no such folder


async def check_object(kept: Archive, key: str, progress: Progress) -> str:
    """Its sha256. Raises Damaged."""
    found = kept.known(key)
    path = kept.objects.path(key)
    if found is None or not path.is_file() or await asyncio.to_thread(artifacts.digest, path) != found[1]:
        raise Damaged(
            f"{path} is missing, or has changed since it was written. Restore another backup, or run `fettle backup` "
            "into a new folder."
        )
    progress.checked += 1
    return found[1]


async def put(kept: Archive, storage: Storage, key: str, progress: Progress) -> None:
    sha256 = await check_object(kept, key, progress)
    with contextlib.suppress(Missing):
        if await archive.digest(storage, key) == sha256:
            progress.there += 1
            return
    path = kept.objects.path(key)
    await storage.put_file(key, path)
    if await archive.digest(storage, key) != sha256:
        raise FettleError(f"Storage returned {key!r} with another sha256 than it was stored with. Check the storage.")
    progress.stored += 1
    progress.stored_bytes += path.stat().st_size


async def need_empty(db: Database, storage: Storage, kept: Archive) -> None:
    """Raises Conflict. What an interrupted restore of this backup stored is no obstacle."""
    if used := [name for name, rows in (await database.rows_in(db)).items() if rows]:
        where = db.engine.url.render_as_string(hide_password=True)
        raise Conflict(
            f"The database {where} is not empty: {used[0]} has rows. Restore into an empty database, or replace all "
            "that it holds with --overwrite."
        )
    for root in ROOTS:
        for key, size in (await storage.sizes(root)).items():
            if (kept.known(key) or (None,))[0] != size:
                raise Conflict(
                    f"Storage is not empty: it has {key!r}, which is not in the backup. Restore into empty storage, "
                    "or add to what it holds with --overwrite."
                )


def need_secret(seal: Seal, secret: bytes) -> None:
    """Raises Conflict."""
    if archive.fingerprint(secret) != seal.secret:
        raise Conflict(
            "The secret is not the one that the backup was made with, so that none of its API keys would work. Set "
            "FETTLE_SECRET as it was then, or restore without the keys with --overwrite."
        )


async def need_idle(db: Database) -> None:
    """Raises Conflict."""
    if not await database.rows_in(db):
        return
    async with db.snapshot() as session:
        running = sorted(await session.scalars(workers.serving_hosts(ALIVE_SECONDS / workers.SILENT_HEARTBEATS)))
    if running:
        raise Conflict(f"A worker on {running[0]} uses this database. Stop every part of Fettle, then restore.")


async def need_same_rows(db: Database, dump: Path) -> None:
    found, wanted = await database.rows_in(db), database.counts(dump)
    for table, rows in wanted.items():
        if found.get(table) != rows:
            raise FettleError(
                f"The table {table!r} has {found.get(table)} rows after the restore, and the backup has {rows}. "
                "Stop every part of Fettle that uses this database, and restore again."
            )

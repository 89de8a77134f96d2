"""Makes a backup while the service runs: the database first, then every object that it names.

What was deleted in between is missing: then the database is copied again, which no longer names it. So the backup is
of one moment, and nothing that it names is absent. Every object is hashed on its way, and one that has a manifest
must be what that says.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fettle import __version__
from fettle.backups import archive, database, references
from fettle.backups.archive import Archive, Measured, Seal
from fettle.db import Database
from fettle.errors import FettleError
from fettle.storage import Missing, Storage, artifacts

ROUNDS = 10  # more than a service that deletes things needs
AT_ONCE = 8  # objects that are copied at a time


@dataclass
class Progress:
    copied: int = 0
    copied_bytes: int = 0
    kept: int = 0  # copies that an earlier backup, or an interrupted one, left there
    lost: dict[str, str] = field(default_factory=dict)  # key → why; of the newest round


async def back_up(
    db: Database, storage: Storage, folder: Path, secret: bytes, *, progress: Progress | None = None
) -> Seal:
    """Copies the database and all of storage that it names into the folder, and seals it.

    `lost` of the seal names what the database names and storage does not have, or has with the wrong hash.
    Raises FettleError, and what the database and storage raise; what was copied by then is not copied again.
    """
    progress = progress or Progress()
    with archive.opened(folder, new=True) as kept:
        for _ in range(ROUNDS):
            backup, moment, before = secrets.token_hex(8), time.time(), progress.lost
            dump = kept.database(backup)
            await database.dump(db, dump)
            progress.lost = {}
            await copy_all(storage, kept, dump, moment, backup, progress)
            if progress.lost.keys() <= before.keys():  # nothing, or what was not there a round ago either
                break
            dump.unlink()
        else:
            raise FettleError(
                f"Objects disappear faster than they can be copied, such as {next(iter(progress.lost))}. Try again."
            )
        objects, size = kept.totals(backup)
        seal = Seal(
            format=archive.FORMAT,
            fettle=__version__,
            id=backup,
            taken_at=moment,
            revision=database.revision(dump),
            dialect=db.engine.dialect.name,
            rows=database.counts(dump),
            database_sha256=await asyncio.to_thread(artifacts.digest, dump),
            secret=archive.fingerprint(secret),
            objects=objects,
            bytes=size,
            lost=progress.lost,
        )
        kept.write_seal(seal)
        await kept.prune(backup)
    return seal


async def copy_all(storage: Storage, kept: Archive, dump: Path, moment: float, backup: str, progress: Progress) -> None:
    async def single(key: str) -> None:
        await copy(storage, kept, key, backup, progress)

    async def folder(prefix: str) -> None:
        await copy_folder(storage, kept, prefix, backup, progress)

    await each(references.objects(dump, moment), single)
    await each(references.folders(dump), folder)


async def each(names: Iterator[str], work: Callable[[str], Coroutine[Any, Any, object]]) -> None:
    """Some at a time; the names are never in memory all together. Raises the first error."""
    while some := list(itertools.islice(names, AT_ONCE)):
        try:
            async with asyncio.TaskGroup() as group:
                for name in some:
                    group.create_task(work(name))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None


async def copy_folder(storage: Storage, kept: Archive, prefix: str, backup: str, progress: Progress) -> None:
    """The files that its manifest lists, and the manifest last."""
    key = f"{prefix}/{artifacts.MANIFEST}"
    try:
        files = (await artifacts.manifest(storage, prefix)).files
    except Missing:
        progress.lost[key] = "It is not in storage."
        return
    except artifacts.Corrupt:
        progress.lost[key] = "It is not a manifest."
        return
    for name, entry in files.items():
        await copy(storage, kept, f"{prefix}/{name}", backup, progress, sha256=entry.sha256)
    await copy(storage, kept, key, backup, progress, again=True)  # a checkpoint's loses files when its job ends


async def copy(
    storage: Storage,
    kept: Archive,
    key: str,
    backup: str,
    progress: Progress,
    *,
    sha256: str | None = None,
    again: bool = False,
) -> None:
    """sha256: what a manifest says of it. again: it may have changed since it was copied."""
    if not again and kept.has(key) and sha256 in (None, (kept.known(key) or (0, ""))[1]):
        kept.keep(key, backup)
        progress.kept += 1
        return
    measured = Measured(storage.stream(key))
    try:
        await kept.objects.put(key, aiter(measured))
    except Missing:
        progress.lost[key] = "It is not in storage."
        return
    if sha256 is not None and measured.hash.hexdigest() != sha256:
        progress.lost[key] = "It does not have the sha256 of its manifest."
        return
    kept.note(key, measured.size, measured.hash.hexdigest(), backup)
    progress.copied += 1
    progress.copied_bytes += measured.size

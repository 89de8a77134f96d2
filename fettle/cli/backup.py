"""`fettle backup` and `fettle restore`: work on the database and storage, as the operator does; they need no key."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.filesize import decimal

from fettle.cli import terminal
from fettle.cli.terminal import console, moment, plain, with_database
from fettle.errors import FettleError, Unavailable
from fettle.settings import Settings
from fettle.wording import quantity

if TYPE_CHECKING:
    from fettle.backups.archive import Seal
    from fettle.db import Database

Folder = Annotated[Path, typer.Argument(help="The backup's folder.")]
T = TypeVar("T")
SHOWN = 10  # lost objects


def back_up(
    folder: Annotated[Path, typer.Argument(help="A new folder, or one with a backup to bring up to date.")],
) -> None:
    """Copy database and storage into a folder while Fettle runs. Run it again to go on, or to update the backup."""
    from fettle.backups import backup, local_files
    from fettle.storage import open_storage
    from fettle.tenancy import api_keys

    settings, progress = Settings(), backup.Progress()

    async def run(db: "Database") -> "Seal":
        secret = api_keys.pepper(settings)
        return await backup.back_up(db, open_storage(settings), folder, secret, progress=progress)

    with console.status("copying"):
        seal = work(settings, run)
    files = local_files.keep(settings, folder)
    say_database(seal)
    say(
        "storage",
        f"{quantity(seal.objects, 'object')}, {decimal(seal.bytes)}: {progress.copied:,} copied "
        f"({decimal(progress.copied_bytes)}), {progress.kept:,} already there",
    )
    if files:
        say("files", f"{' and '.join(files)} of the data folder. Keep the backup as safe as that folder.")
    say("checked", "the copy's integrity and foreign keys, and the sha256 of every object that has a manifest")
    if seal.lost:
        for key in sorted(seal.lost)[:SHOWN]:
            say("lost", f"{key}: {seal.lost[key]}", "red")
        raise FettleError(
            f"The backup in {folder} is finished, but {quantity(len(seal.lost), 'object')} that the database names "
            "could not be copied. Delete the jobs or files that they belong to, or bring the objects back."
        )
    say("backup", f"{folder}, of {moment(seal.taken_at)}: everything that the database names is in it")


def restore(
    folder: Folder,
    check: Annotated[bool, typer.Option("--check", help="Only hash the whole backup; write nothing.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what the database holds, and add to what storage holds.")
    ] = False,
) -> None:
    """Put a backup into an empty database and storage, verified by hashes. Run it again if it was interrupted."""
    from fettle.backups import local_files
    from fettle.backups import restore as restoring
    from fettle.storage import open_storage
    from fettle.tenancy import api_keys

    settings, progress = Settings(), restoring.Progress()
    if check:
        with console.status("checking"):
            seal = asyncio.run(restoring.check(folder, progress))
        say_database(seal)
        say("checked", f"the database and the sha256 of {quantity(progress.checked, 'object')}")
        say_lost(seal)
        return

    async def run(db: "Database") -> "Seal":
        storage, secret = open_storage(settings), api_keys.pepper(settings)
        return await restoring.restore(db, storage, folder, secret, overwrite=overwrite, progress=progress)

    before = [path for path in local_files.of(settings).values() if path.exists()]
    files = local_files.put_back(settings, folder)
    try:
        with console.status("restoring"):
            seal = work(settings, run)
    except FettleError:
        local_files.remove_others(settings, before)
        raise
    say_database(seal)
    say(
        "storage",
        f"{quantity(progress.stored, 'object')} stored ({decimal(progress.stored_bytes)}), "
        f"{progress.there:,} already there",
    )
    if files:
        say("files", f"{' and '.join(files)} of the data folder")
    say("checked", "the sha256 of every object, in the backup and in storage, and the number of rows of every table")
    say_lost(seal)
    say("restored", f"the state of {moment(seal.taken_at)}. Jobs that were running continue from their last checkpoint")


def work(settings: Settings, run: "Callable[[Database], Awaitable[T]]") -> T:
    """Raises Unavailable where storage does not answer."""
    from fettle.storage import Away, Refused

    try:
        return with_database(settings, run)
    except (Away, Refused) as error:
        raise Unavailable(f"Storage {settings.storage}: {error}. Run the same command again: it continues.") from error


def say_database(seal: "Seal") -> None:
    rows = sum(seal.rows.values())
    say("database", f"{seal.dialect}, schema {seal.revision}, {quantity(rows, 'row')} in {len(seal.rows)} tables")


def say_lost(seal: "Seal") -> None:
    if seal.lost:
        lost = quantity(len(seal.lost), "object")
        say("lost", f"{lost} before the backup, such as {next(iter(seal.lost))}", "yellow")


def say(label: str, words: str, style: str = "") -> None:
    terminal.say(plain(f"{label:<10} ", style) + plain(words))

"""A database as one SQLite file, of one moment, whatever it runs on: so a backup of each kind restores into each.

SQLite's backup API copies a file while others write to it; a PostgreSQL is read in one snapshot.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from alembic import command
from sqlalchemy import Connection, create_engine, func, inspect, select, text
from sqlalchemy.engine import Engine

from fettle import migrate
from fettle.backups import rows
from fettle.db import Database
from fettle.errors import FettleError
from models import Base


async def dump(db: Database, path: Path) -> None:
    """Others go on writing meanwhile. Raises FettleError where the schema is not this release's."""
    found, newest = await migrate.revisions(db)
    if found != newest:
        raise FettleError(
            f"The database has schema {found or 'none'}, and this release of Fettle has {newest}. "
            "Back up with the release that runs the service, or run `fettle migrate` first."
        )
    path.unlink(missing_ok=True)
    if db.engine.dialect.name == "sqlite":
        await asyncio.to_thread(copy_file, Path(str(db.engine.url.database)), path)
    else:
        await read_postgresql(db, path)
    await asyncio.to_thread(check, path)


def copy_file(source: Path, target: Path) -> None:
    """All of it in one step, which is one moment."""
    with closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as origin:
        origin.execute("PRAGMA busy_timeout=30000")
        with closing(sqlite3.connect(target)) as copy:
            origin.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, which can be read where nothing can be written


async def read_postgresql(db: Database, path: Path) -> None:
    copy = Database(f"sqlite+aiosqlite:///{path}")
    try:
        await migrate.upgrade(copy)
        async with db.engine.connect() as connection, copy.engine.begin() as target:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            for table in Base.metadata.sorted_tables:
                found = await connection.stream(rows.reading(table))
                async for some in found.mappings().partitions():
                    await target.execute(rows.writing(table), rows.named(some))
    finally:
        await copy.close()
    with closing(sqlite3.connect(path)) as copied:
        copied.execute("PRAGMA journal_mode=DELETE")


def check(path: Path) -> None:
    """Raises FettleError where the file is damaged, or a row refers to one that is not there."""
    with closing(sqlite3.connect(path)) as copy:
        (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise FettleError(f"The copy of the database is damaged: {found}. Check the disk, then try again.")
        if broken := copy.execute("PRAGMA foreign_key_check").fetchone():
            raise FettleError(f"The database has a row in {broken[0]} that refers to a missing row in {broken[2]}.")


def reader(path: Path) -> Engine:
    """Of a dump; nothing is written beside it."""
    where = f"file:{quote(str(path))}?mode=ro&immutable=1"
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(where, uri=True, check_same_thread=False))


def counts(path: Path) -> dict[str, int]:
    """Rows by table."""
    with reader(path).connect() as connection:
        return count(connection)


def count(connection: Connection) -> dict[str, int]:
    there = set(inspect(connection).get_table_names())
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in Base.metadata.sorted_tables
        if table.name in there
    }


def revision(path: Path) -> str:
    with reader(path).connect() as connection:
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


async def bring_up(path: Path) -> None:
    """A dump of an earlier release, with this release's schema."""
    old = Database(f"sqlite+aiosqlite:///{path}")
    try:
        await migrate.upgrade(old)
    finally:
        await old.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


async def rows_in(db: Database) -> dict[str, int]:
    """Rows by table; empty for a database without tables."""
    async with db.engine.execution_options(read_only=True).connect() as connection:
        return await connection.run_sync(count)


async def load(path: Path, db: Database) -> None:
    """Puts a dump of this release's schema in the place of all that the database holds: whole, or not at all."""
    if db.engine.dialect.name == "sqlite":
        await db.close()
        target = Path(str(db.engine.url.database))
        await asyncio.to_thread(copy_file, path, target)
        return
    with reader(path).connect() as dumped:
        async with db.engine.begin() as connection:
            await connection.run_sync(lambda sync: write_postgresql(dumped, sync))


def write_postgresql(dumped: Connection, target: Connection) -> None:
    if inspect(target).has_table("alembic_version"):
        command.downgrade(migrate.config(target), "base")
    command.upgrade(migrate.config(target), "head")
    for table in Base.metadata.sorted_tables:
        for some in dumped.execute(rows.reading(table)).mappings().partitions():
            target.execute(rows.writing(table, to_json=True), rows.named(some))
        if (counter := table.autoincrement_column) is not None:
            sequence = func.pg_get_serial_sequence(table.name, counter.name)
            target.execute(select(func.setval(sequence, func.coalesce(func.max(counter), 1))))

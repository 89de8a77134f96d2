"""Databases with the newest schema, migrated once: an SQLite file is copied, a database of PostgreSQL is emptied."""

import tempfile
import uuid
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from fettle import migrate
from fettle.db import Database

SHARED = "migrated"  # on a PostgreSQL server, for the tests of a process one after the other
UNSAFE = ("fsync = off", "full_page_writes = off", "synchronous_commit = off")  # nothing here outlives the server
prepared: set[str] = set()  # servers that have it
migrated: list[bytes] = []  # the content of an SQLite file, once there is one

# A connection that a test left open would hold its locks. A replica fires no triggers: those of the audit log forbid
# this. Truncating a table is slow, and most stay empty.
EMPTY = """
DO $$ DECLARE name text; filled boolean; BEGIN
  SET LOCAL session_replication_role = replica;
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO filled;
    IF filled THEN EXECUTE format('TRUNCATE %I RESTART IDENTITY CASCADE', name); END IF;
  END LOOP;
END $$
"""


async def upgraded(database: Database) -> Database:
    """The same database with the newest schema."""
    url = database.engine.url
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        await copy_sqlite(Path(str(url.database)))
    else:
        await migrate.upgrade(database)
    return database


async def copy_sqlite(file: Path) -> None:
    if not migrated:
        with tempfile.TemporaryDirectory() as folder:
            database = Database(f"sqlite+aiosqlite:///{folder}/fettle.db")
            await migrate.upgrade(database)
            await database.close()
            migrated.append(Path(folder, "fettle.db").read_bytes())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(migrated[0])


async def new_on(server: str, name: str = "") -> str:
    """The URL of a database without tables. Nobody drops it: the server ends with the tests."""
    name = name or f"test_{uuid.uuid4().hex}"
    await execute(server, f"CREATE DATABASE {name}")
    return make_url(server).set(database=name).render_as_string(hide_password=False)


async def emptied_on(server: str) -> str:
    """The URL of a database with the newest schema and no rows, the same one each time."""
    url = make_url(server).set(database=SHARED).render_as_string(hide_password=False)
    if server not in prepared:
        await execute(server, *(f"ALTER SYSTEM SET {setting}" for setting in UNSAFE), "SELECT pg_reload_conf()")
        database = Database(await new_on(server, SHARED))
        await migrate.upgrade(database)
        await database.close()
        prepared.add(server)
    await execute(url, EMPTY)
    return url


async def execute(url: str, *statements: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()

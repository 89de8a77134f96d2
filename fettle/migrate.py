"""Brings the database to the newest schema."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from fettle.db import Database
from fettle.errors import Conflict

FOLDER = Path(__file__).parent.parent / "migrations"


def config(connection: Connection) -> Config:
    found = Config()
    found.set_main_option("script_location", str(FOLDER))
    found.attributes["connection"] = connection
    return found


async def upgrade(db: Database) -> None:
    """Raises Conflict where a later release has migrated the database."""
    found, newest = await revisions(db)
    if found is not None and found not in known():
        raise Conflict(
            f"The database has schema {found}, and this release of Fettle knows schemas up to {newest}. Install the "
            "release that migrated it or a later one, or restore a backup."
        )
    async with db.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(config(sync), "head"))


async def revisions(db: Database) -> tuple[str | None, str | None]:
    """(the database's revision, the newest one)."""

    async with db.engine.execution_options(read_only=True).connect() as connection:
        found = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    return found, known()[0]


@cache
def known() -> tuple[str, ...]:
    """This release's revisions, newest first."""
    scripts = ScriptDirectory(str(FOLDER))
    return tuple(script.revision for script in scripts.walk_revisions())

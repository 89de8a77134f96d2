"""Brings the database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from fettle.db import Database


def config(connection: Connection) -> Config:
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    found.attributes["connection"] = connection
    return found


async def upgrade(db: Database) -> None:
    async with db.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(config(sync), "head"))


async def revisions(db: Database) -> tuple[str | None, str | None]:
    """(the database's revision, the newest one)."""

    def read(sync: Connection) -> tuple[str | None, str | None]:
        newest = ScriptDirectory.from_config(config(sync)).get_current_head()
        return MigrationContext.configure(sync).get_current_revision(), newest

    async with db.engine.connect() as connection:
        return await connection.run_sync(read)

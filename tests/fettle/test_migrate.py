from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, MetaData, String, inspect, text

from fettle import migrate
from fettle.db import Database
from fettle.errors import Conflict
from fettle.tenancy import projects
from models import Base

COMPARED = {"compare_type": True, "compare_server_default": True}


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Database]:
    database = Database(empty_url)
    yield database
    await database.close()


def schema(connection: Connection) -> dict[str, Any]:
    found = inspect(connection)
    return {
        name: (str(found.get_columns(name)), str(found.get_indexes(name)), str(found.get_foreign_keys(name)))
        for name in found.get_table_names()
    }


async def differences(db: Database, metadata: MetaData) -> list[Any]:
    def compare(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection, opts=COMPARED), metadata))

    async with db.engine.connect() as connection:
        return await connection.run_sync(compare)


async def test_an_empty_database_has_no_revision_and_gets_the_newest(empty: Database) -> None:
    before, newest = await migrate.revisions(empty)
    assert before is None
    assert newest is not None
    await migrate.upgrade(empty)
    assert await migrate.revisions(empty) == (newest, newest)


async def test_a_migrated_database_is_what_the_rows_say(db: Database) -> None:
    assert await differences(db, Base.metadata) == []


async def test_a_column_that_no_migration_makes_would_be_found(db: Database) -> None:
    changed = MetaData()
    for table in Base.metadata.sorted_tables:
        table.to_metadata(changed)
    changed.tables["projects"].append_column(Column("colour", String))
    ((kind, _, table, column),) = await differences(db, changed)
    assert (kind, table, column.name) == ("add_column", "projects", "colour")


async def test_a_second_upgrade_changes_nothing(db: Database) -> None:
    async with db.transaction() as session:
        await projects.ensure(session, "kept")
    async with db.engine.connect() as connection:
        before = await connection.run_sync(schema)
    await migrate.upgrade(db)
    async with db.engine.connect() as connection:
        assert await connection.run_sync(schema) == before
        assert (await connection.execute(text("SELECT name FROM projects"))).scalars().all() == ["kept"]


async def test_an_upgrade_that_fails_half_way_leaves_the_database_as_it_was(empty: Database) -> None:
    async with empty.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE tuned_models (name VARCHAR)"))  # the last table that 0001 makes
    with pytest.raises(Exception, match="already exists"):
        await migrate.upgrade(empty)
    async with empty.engine.connect() as connection:
        assert list(await connection.run_sync(schema)) == ["tuned_models"]
    assert (await migrate.revisions(empty))[0] is None


async def test_a_database_of_a_later_release_is_left_alone_and_the_way_out_is_named(empty: Database) -> None:
    await migrate.upgrade(empty)
    async with empty.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="has schema 9999, and this release of Fettle knows schemas up to"):
        await migrate.upgrade(empty)
    assert (await migrate.revisions(empty))[0] == "9999"

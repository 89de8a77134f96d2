import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from fettle import migrate
from fettle.db import DATABASE_AWAY, Database, DatabaseAway, database_now, explain, json_text, lock, meaning
from fettle.tenancy import projects
from models import ApiKey, Job, Project
from tests.fettle import given


async def names(db: Database) -> list[str]:
    async with db.snapshot() as session:
        return list(await session.scalars(select(Project.name).order_by(Project.name)))


class TestTransaction:
    async def test_it_commits_when_the_block_ends(self, db: Database) -> None:
        async with db.transaction() as session:
            await projects.ensure(session, "kept")
        assert await names(db) == ["kept"]

    async def test_it_rolls_back_when_the_block_raises(self, db: Database) -> None:
        with pytest.raises(RuntimeError):
            async with db.transaction() as session:
                await projects.ensure(session, "lost")
                raise RuntimeError
        assert await names(db) == []

    async def test_rows_may_be_read_after_the_commit(self, db: Database) -> None:
        async with db.transaction() as session:
            row = await projects.ensure(session, "kept")
        assert row.name == "kept"

    async def test_a_row_of_nobody_is_refused(self, db: Database) -> None:
        with pytest.raises(IntegrityError):
            async with db.transaction() as session:
                session.add(ApiKey(id="key_1", project_id="proj_none", name="n", hint="h", digest="d", scopes=[]))

    async def test_a_writer_that_is_cancelled_holds_nobody_up(self, db: Database) -> None:
        writing = asyncio.Event()

        async def write() -> None:
            async with db.transaction() as session:
                await projects.ensure(session, "cancelled")
                writing.set()
                await asyncio.sleep(60)

        writer = asyncio.create_task(write())
        await writing.wait()
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        async with asyncio.timeout(60), db.transaction() as session:
            await projects.ensure(session, "next")
        assert await names(db) == ["next"]

    async def test_a_writer_that_is_cancelled_while_it_waits_for_another_ends_as_cancelled(self, db: Database) -> None:
        """Whoever retries while the database is away must not take a cancellation for that."""

        async def write() -> None:
            async with db.transaction() as session:
                await lock(session, "one at a time")
                await projects.ensure(session, "second")

        async with db.transaction() as session:
            await lock(session, "one at a time")
            await projects.ensure(session, "first")
            writer = asyncio.create_task(write())
            await asyncio.sleep(0.1)
            writer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writer

    async def test_writers_cancelled_at_any_moment_end_as_cancelled_and_hold_nobody_up(self, db: Database) -> None:
        async def write(n: int) -> None:
            async with db.transaction() as session:
                await projects.ensure(session, f"p{n}")

        for n in range(10):
            writers = [asyncio.create_task(write(n * 10 + m)) for m in range(4)]
            await asyncio.sleep(n / 1000)
            for writer in writers:
                writer.cancel()
            for end in await asyncio.gather(*writers, return_exceptions=True):
                assert end is None or isinstance(end, asyncio.CancelledError), repr(end)
        async with asyncio.timeout(60), db.transaction() as session:
            await projects.ensure(session, "next")


class TestSnapshot:
    async def test_it_neither_waits_for_an_open_write_nor_sees_it(self, db: Database) -> None:
        async with db.transaction() as session:
            await projects.ensure(session, "before")
        async with db.transaction() as session:
            await projects.ensure(session, "open")
            async with asyncio.timeout(60):
                assert await names(db) == ["before"]
        assert await names(db) == ["before", "open"]

    async def test_an_open_one_holds_no_writer_up(self, db: Database) -> None:
        async with db.snapshot() as reader:
            await reader.execute(select(Project))
            async with asyncio.timeout(60), db.transaction() as session:
                await projects.ensure(session, "written")
        assert await names(db) == ["written"]


class TestConcurrentWrites:
    async def test_twenty_writers_lose_nothing_and_are_never_told_that_the_database_is_locked(
        self, db: Database
    ) -> None:
        """Each reads, then writes what it read plus one: a write lock taken late would fail or lose a count."""
        async with db.transaction() as session:
            session.add(Project(id="proj_counter", name="n-0"))

        async def count() -> None:
            for _ in range(5):
                async with db.transaction() as session:
                    row = await session.get_one(Project, "proj_counter", with_for_update=True)
                    value = int(row.name.removeprefix("n-"))
                    await asyncio.sleep(0)
                    row.name = f"n-{value + 1}"

        await asyncio.gather(*(count() for _ in range(20)))
        assert await names(db) == ["n-100"]


class TestTwoProcesses:
    """Another engine on the same file, as another process has."""

    @pytest.fixture
    async def other(self, db: Database, database_url: str) -> AsyncIterator[Database]:
        other = Database(database_url)
        yield other
        await other.close()

    async def test_their_writes_wait_for_each_other(self, db: Database, other: Database) -> None:
        async def write(through: Database, name: str) -> None:
            for n in range(5):
                async with through.transaction() as session:
                    await session.scalar(select(func.count()).select_from(Project))
                    session.add(Project(id=f"proj_{name}{n}", name=f"{name}{n}"))
                    await session.flush()
                    await asyncio.sleep(0.005)

        await asyncio.gather(write(db, "a"), write(other, "b"))
        assert len(await names(db)) == 10


class TestDatabaseNow:
    async def test_it_is_seconds_since_1970_and_moves_within_a_transaction(self, db: Database) -> None:
        async with db.transaction() as session:
            first = await session.scalar(select(database_now()))
            await asyncio.sleep(0.05)
            second = await session.scalar(select(database_now()))
        assert first is not None and second is not None
        assert first == pytest.approx(time.time(), abs=30)
        assert second - first == pytest.approx(0.05, abs=0.04) or second > first + 0.04


class TestJsonText:
    async def test_a_key_that_is_not_there_is_null(self, db: Database, project: Project) -> None:
        file = await given.dataset(db, project)
        for metadata, value in [({"a": "1"}, "1"), ({"b": "1"}, None), (None, None)]:
            job, _ = await given.create(db, project, given.request(file, metadata=metadata))
            async with db.snapshot() as session:
                assert await session.scalar(select(json_text(Job.labels, "a")).where(Job.id == job.id)) == value


async def test_sqlite_keeps_a_write_ahead_log(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'fettle.db'}")
    await migrate.upgrade(db)
    async with db.snapshot() as session:
        pragmas = [await session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys")]
    await db.close()
    assert pragmas == ["wal", 1]


@pytest.mark.slow
async def test_a_postgresql_that_ends_the_connection_counts_as_away(postgresql: str) -> None:
    database = Database(postgresql)
    with pytest.raises(DATABASE_AWAY):
        async with database.transaction() as session:
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    await database.close()


@pytest.mark.parametrize("where", ["/x?host=/no/such/folder", "no-such-host.invalid/x", "127.0.0.1:1/x"])
async def test_a_database_that_cannot_be_reached_is_away_whatever_the_network_says(where: str) -> None:
    database = Database(f"postgresql+asyncpg://postgres@{where}")
    with pytest.raises(DATABASE_AWAY):
        await database.ping()
    await database.close()


async def test_what_no_retry_mends_does_not_count_as_away(db: Database) -> None:
    for statement in ("SELECT * FROM no_such_table", "SELECT no_such_column FROM jobs", "SELEC 1"):
        with pytest.raises(DBAPIError):
            async with db.transaction() as session:
                await session.execute(text(statement))


@pytest.mark.slow
async def test_neither_does_a_wrong_password_or_a_database_that_is_not_there(postgresql: str) -> None:
    database = Database(postgresql.replace("@/postgres?", "@/no_such_database?"))
    with pytest.raises(Exception, match="no_such_database") as caught:
        await database.ping()
    assert not isinstance(caught.value, DATABASE_AWAY)
    await database.close()


async def test_a_sqlite_that_is_locked_is_away_and_says_why(tmp_path: Path) -> None:
    first = Database(f"sqlite+aiosqlite:///{tmp_path / 'fettle.db'}")
    await migrate.upgrade(first)
    async with first.transaction() as session:
        await session.execute(text("SELECT 1"))
        with (
            contextlib.closing(sqlite3.connect(tmp_path / "fettle.db", timeout=0)) as second,
            pytest.raises(sqlite3.OperationalError) as busy,
        ):
            second.execute("BEGIN IMMEDIATE")
    await first.close()
    assert meaning(busy.value) is DatabaseAway
    assert explain(busy.value, "BEGIN") == "database is locked (statement: BEGIN)"


async def test_transactions_that_are_cancelled_leave_no_lock(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    async with db.transaction() as session:
        await session.execute(text("CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT)"))
        for _ in range(300):
            await session.execute(text("INSERT INTO t (b) VALUES ('x')"))

    async def work() -> None:
        while True:
            async with db.transaction() as session:
                (await session.execute(text("SELECT * FROM t"))).first()
                await session.execute(text("UPDATE t SET b = 'y' WHERE id = 5 RETURNING id"))

    cancelled = []  # their tracebacks hold cursors
    for turn in range(100):
        cancelled.append(asyncio.create_task(work()))
        await asyncio.sleep(turn * 0.0001)
        cancelled[-1].cancel()
        async with asyncio.timeout(10), db.transaction() as session:
            await session.execute(text("UPDATE t SET b = 'z' WHERE id = 1"))
    await db.close()

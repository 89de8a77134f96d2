"""The database: SQLite (WAL) on one machine, PostgreSQL beyond it.

A transaction that writes takes SQLite's write lock when it begins, so that it never fails half-way with
"database is locked"; a read-only one takes a snapshot and waits for nobody.
"""

import errno
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Float, String, event, func, make_url, select
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from fettle.settings import TLS_OPTIONS


class DatabaseAway(Exception):
    """The database does not answer, or is too busy: the same transaction may succeed later. Says why."""


class DatabaseFull(DatabaseAway):
    """Its disk, or our quota there, is full: nothing is written until someone makes room."""


DATABASE_AWAY = (DatabaseAway, PoolTimeout)  # only what a retry can solve: no missing table, no wrong query

# PostgreSQL's classes: connection lost, transaction rolled back, out of resources, shutting down
AWAY_CLASSES = {"08", "40", "53", "57"}
AWAY_STATES = {"25006", "55P03", "58030"}  # a standby that is to take over, a lock that is taken, an I/O error
FULL_STATE = "53100"
DROPPED_STATE = "57P04"  # the database itself is gone
SQLITE_AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
}
FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT}
SHOWN = 300  # characters of a statement


class database_now(FunctionElement[float]):
    """Seconds since 1970 by the database's own clock: leases never depend on a worker's."""

    type = Float()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _now_sqlite(element: database_now, compiler: SQLCompiler, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _now_postgresql(element: database_now, compiler: SQLCompiler, **kw: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


class json_text(FunctionElement[str]):
    """(column, key): the text under a JSON object's key, NULL without it. SQLite's paths cannot name every key."""

    type = String()
    inherit_cache = True


@compiles(json_text, "sqlite")
def _text_sqlite(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"(SELECT value FROM json_each({column}) WHERE key = {key})"  # noqa: S608 — SQLAlchemy's own clauses


@compiles(json_text, "postgresql")
def _text_postgresql(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({column} ->> {key})"


async def lock(session: AsyncSession, name: str) -> None:
    """Until this transaction ends no other holds the same name. In SQLite a transaction that writes is alone anyway."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


class SqliteConnection(sqlite3.Connection):
    """Rolls back before it closes. SQLite keeps the write lock of a closed connection for as long as a cursor lives,
    and the traceback of a cancelled task keeps its cursors."""

    def close(self) -> None:
        with suppress(sqlite3.Error):  # it is broken, or closed already
            self.rollback()
        super().close()


class Database:
    """An engine and its transactions."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Commits when the block ends, rolls back when it raises."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """Reads only."""
        engine = self.engine.execution_options(read_only=True)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            yield session

    async def ping(self) -> None:
        """Raises one of DATABASE_AWAY."""
        async with self.snapshot() as session:
            await session.scalar(select(database_now()))

    async def close(self) -> None:
        await self.engine.dispose()


def make_engine(url: str) -> AsyncEngine:
    if not url.startswith("sqlite"):
        # Seconds: a network that swallows packets is away as well
        options: dict[str, Any] = {"timeout": 5, "command_timeout": 30}
        where = make_url(url)
        if tls := {name: value for name, value in where.query.items() if name in TLS_OPTIONS}:
            options["dsn"] = f"postgresql://?{urlencode(tls)}"  # asyncpg reads libpq's options there only
        postgresql = create_async_engine(
            where.difference_update_query(tls),
            pool_size=20, max_overflow=20, pool_pre_ping=True, hide_parameters=True, connect_args=options,
        )  # fmt: skip
        event.listen(postgresql.sync_engine, "handle_error", translate)
        event.listen(postgresql.sync_engine, "do_connect", connect)
        return postgresql
    sqlite_options = {"timeout": 30, "factory": SqliteConnection}
    engine = create_async_engine(url, pool_size=20, max_overflow=20, hide_parameters=True, connect_args=sqlite_options)
    event.listen(engine.sync_engine, "handle_error", translate)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def connect(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
    """asyncpg's errors while it connects pass SQLAlchemy as they are: no socket file, no such host, no route."""
    try:
        return dialect.connect(*arguments, **options)
    except Exception as error:  # what `meaning` does not know is raised again
        if (kind := meaning(error)) is None:
            raise
        raise kind(explain(error, "connect")) from error


def translate(context: ExceptionContext) -> None:
    """Raises what a retry can solve as DatabaseAway; every other error stays what it is."""
    error = context.original_exception
    if context.is_pre_ping:  # the pool connects anew by itself
        return
    if not isinstance(error, Exception):  # a cancellation drops the connection, but must stay a cancellation
        return
    kind = DatabaseAway if context.is_disconnect else meaning(error)
    if kind is not None:
        context.is_disconnect = context.is_disconnect or isinstance(error, OSError)
        raise kind(explain(error, context.statement)) from error


def meaning(error: BaseException) -> type[DatabaseAway] | None:
    """None for what no retry solves."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return DatabaseFull
        return DatabaseAway if code in SQLITE_AWAY else None
    if isinstance(error, OSError):  # of the network; TimeoutError is one as well
        return DatabaseFull if error.errno in FULL_ERRORS else DatabaseAway
    state = getattr(error, "sqlstate", None) or ""
    if state == FULL_STATE:
        return DatabaseFull
    away = state in AWAY_STATES or (state[:2] in AWAY_CLASSES and state != DROPPED_STATE)
    return DatabaseAway if away else None


def explain(error: BaseException, statement: str | None) -> str:
    """The database's own words and the query; no parameters, which are people's data."""
    words = " ".join(str(error).split()) or type(error).__name__
    query = " ".join((statement or "").split())
    return f"{words[:SHOWN]} (statement: {query[:SHOWN]})" if query else words[:SHOWN]

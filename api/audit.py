"""Every request that changed something leaves an entry in the audit log.

The entry is part of the transaction that makes the change: both are committed, or neither. What a request changes
outside of the database is recorded before its answer leaves. A new route is recorded without a word here. Only what
changes nothing, or would drown the log, is left out.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fettle.db import Database
from fettle.tenancy import audit
from fettle.tenancy.audit import Actor, Origin

log = structlog.get_logger()

READING = {"GET", "HEAD", "OPTIONS"}
UNRECORDED = {
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/responses",
    "POST /v1/uploads/{upload_id}/parts",
    "POST /v1/fine_tuning/advise",
    "POST /v1/fine_tuning/estimate",
    "POST /v1/fine_tuning/dry_runs",
    "POST /v1/fine_tuning/alpha/graders/run",
    "POST /v1/fine_tuning/alpha/graders/validate",
    "POST /v1/comparisons/{comparison_id}/release",
    "POST /v1/comparisons/{comparison_id}/votes",  # a vote is a record of its own
    "DELETE /v1/comparisons/{comparison_id}/votes/{vote_id}",
}
LONGEST_ANSWER = 1 << 20  # bytes that are searched for the id of what was made


@dataclass
class Change:
    """What a request does. resource_id: of what it makes."""

    scope: Scope
    resource_id: str | None = None
    recorded: bool = False


CHANGE: ContextVar[Change | None] = ContextVar("change", default=None)  # of the request that is being answered


def made(resource_id: str) -> None:
    """Says what the request makes, before that is committed."""
    if (change := CHANGE.get()) is not None:
        change.resource_id = resource_id


@asynccontextmanager
async def transaction(db: Database) -> AsyncIterator[AsyncSession]:
    """The one in which a request makes its change. Commits it with its entry."""
    change = CHANGE.get()
    recording = change is not None and not change.recorded and type_of(change.scope) is not None
    async with db.transaction() as session:
        yield session
        if change is not None and recording:
            add(session, change.scope, change.resource_id or named_in(change.scope))
    if change is not None and recording:
        change.recorded = True


class Audit:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in READING:
            await self.app(scope, receive, send)
            return
        change = Change(scope)
        held: list[Message] = []  # of an answer that is recorded first

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                held.clear()  # recording failed, and this answer says so
                if message["status"] < 400 and type_of(scope) is not None and not change.recorded:
                    held.append(message)
                    return
            if not held:
                await send(message)
                return
            async with scope["app"].state.db.transaction() as session:
                add(session, scope, named_in(scope) or named_in_answer(message.get("body", b"")))
            for each in (*held, message):
                await send(each)
            held.clear()

        token = CHANGE.set(change)
        try:
            await self.app(scope, receive, send_recorded)
        finally:
            CHANGE.reset(token)


def type_of(scope: Scope) -> str | None:
    """Such as jobs.cancel; None: the request is not recorded."""
    route, key = scope.get("route"), scope["state"].get("api_key")
    if route is None or key is None or f"{scope['method']} {route.path_format}" in UNRECORDED:
        return None
    return f"{route.endpoint.__module__.rpartition('.')[2]}.{route.endpoint.__name__}"


def add(session: AsyncSession, scope: Scope, resource_id: str | None) -> None:
    """In the log of this process as well, which has it when the database does not."""
    key, state = scope["state"]["api_key"], scope["state"]
    actor = Actor("annotator" if "annotator" in state else "api_key", key.id, key.name)
    client = scope.get("client")
    origin = Origin(client and client[0], Headers(scope=scope).get("user-agent"), state.get("request_id"))
    type, request = type_of(scope) or "", f"{scope['method']} {scope['path']}"
    log.info("audit", type=type, actor=actor.id, resource=resource_id, ip_address=origin.ip_address)
    audit.add(session, actor, type, request, project_id=key.project_id, resource_id=resource_id, origin=origin)


def named_in(scope: Scope) -> str | None:
    """The last id in the path."""
    named = list(scope.get("path_params", {}).values())
    return str(named[-1]) if named else None


def named_in_answer(body: bytes) -> str | None:
    if len(body) > LONGEST_ANSWER:
        return None
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    found = answer.get("id") if isinstance(answer, dict) else None
    return found if isinstance(found, str) else None

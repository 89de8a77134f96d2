"""The audit log: who changed what, when, and from where. Entries are added and never changed."""

import getpass
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.pagination import page
from models import AuditLog

LONGEST = 300  # characters of what a client says of itself


@dataclass(frozen=True)
class Actor:
    """id: of the key or the invitation; of an operator the name of the account. name: what people call it."""

    type: Literal["api_key", "annotator", "operator"]
    id: str
    name: str


@dataclass(frozen=True)
class Origin:
    """Where a change came from."""

    ip_address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


def add(
    session: AsyncSession,
    actor: Actor,
    type: str,
    request: str,
    *,
    project_id: str | None = None,
    resource_id: str | None = None,
    origin: Origin = Origin(),
) -> AuditLog:
    """type: such as jobs.cancel. request: the method and path, or the command."""
    entry = AuditLog(
        id=ids.new("audit_log-"),
        effective_at=time.time(),
        type=type,
        project_id=project_id,
        actor_type=actor.type,
        actor_id=actor.id,
        actor_name=actor.name,
        resource_id=resource_id,
        request=request[:LONGEST],
        ip_address=origin.ip_address,
        user_agent=origin.user_agent and origin.user_agent[:LONGEST],
        request_id=origin.request_id,
    )
    session.add(entry)
    return entry


def by_operator(session: AsyncSession, type: str, command: str, project_id: str, resource_id: str) -> None:
    """A command on the database, by an account of this machine."""
    account = getpass.getuser()
    actor = Actor("operator", account, f"{account}@{socket.gethostname()}")
    add(session, actor, type, command, project_id=project_id, resource_id=resource_id)


@dataclass(frozen=True)
class Filter:
    """None: all. since, until: seconds since 1970, both included."""

    type: str | None = None
    project_id: str | None = None
    actor_id: str | None = None
    resource_id: str | None = None
    since: int | None = None
    until: int | None = None


async def newest(
    session: AsyncSession, wanted: Filter, *, after: str | None, limit: int
) -> tuple[Sequence[AuditLog], bool]:
    """A page of entries, newest first."""
    statement = select(AuditLog)
    for column in (AuditLog.type, AuditLog.project_id, AuditLog.actor_id, AuditLog.resource_id):
        if (value := getattr(wanted, column.key)) is not None:
            statement = statement.where(column == value)
    if wanted.since is not None:
        statement = statement.where(AuditLog.effective_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(AuditLog.effective_at < wanted.until + 1)
    return await page(session, statement, (AuditLog.effective_at, AuditLog.id), AuditLog.id, after=after, limit=limit)


def to_json(entry: AuditLog) -> dict[str, Any]:
    """OpenAI's object: what was changed is under the name of the type."""
    return {
        "object": "organization.audit_log",
        "id": entry.id,
        "type": entry.type,
        "effective_at": int(entry.effective_at),
        "actor": {"type": entry.actor_type, entry.actor_type: {"id": entry.actor_id, "name": entry.actor_name}},
        "project": {"id": entry.project_id} if entry.project_id else None,
        entry.type: {"id": entry.resource_id},
        "request": entry.request,  # ours, as what follows
        "ip_address": entry.ip_address,
        "user_agent": entry.user_agent,
        "request_id": entry.request_id,
    }

"""The audit log only grows, on both databases."""

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from fettle.db import Database
from fettle.tenancy import audit
from fettle.tenancy.audit import Actor, Filter, Origin
from models import AuditLog

KEY = Actor("api_key", "key_x", "laptop")


async def add(db: Database, type: str, resource: str = "ftjob-x", at: float | None = None, actor: Actor = KEY) -> str:
    async with db.transaction() as session:
        entry = audit.add(
            session, actor, type, "POST /v1/x", project_id="proj_x", resource_id=resource, origin=Origin("10.0.0.7")
        )
        entry.effective_at = at or entry.effective_at
        return entry.id


async def found(db: Database, **wanted: object) -> list[str]:
    async with db.snapshot() as session:
        rows, _ = await audit.newest(session, Filter(**wanted), after=None, limit=100)  # type: ignore[arg-type]
        return [row.id for row in rows]


@pytest.mark.parametrize("change", [update(AuditLog).values(type="nothing"), delete(AuditLog)])
async def test_no_entry_can_be_changed_or_deleted(db: Database, change: object) -> None:
    await add(db, "jobs.cancel")
    with pytest.raises(DBAPIError, match="append-only"):
        async with db.transaction() as session:
            await session.execute(change)  # type: ignore[call-overload]
    async with db.snapshot() as session:
        assert (await session.scalars(select(AuditLog.type))).all() == ["jobs.cancel"]


async def test_entries_are_found_by_what_they_say_newest_first(db: Database) -> None:
    old = await add(db, "jobs.create", "ftjob-a", at=1000.0)
    new = await add(db, "jobs.cancel", "ftjob-a", at=2000.5)
    other = await add(db, "jobs.create", "ftjob-b", at=3000.0, actor=Actor("operator", "ada", "ada@host"))
    assert await found(db) == [other, new, old]
    assert await found(db, type="jobs.create") == [other, old]
    assert await found(db, resource_id="ftjob-a") == [new, old]
    assert await found(db, actor_id="ada") == [other]
    assert await found(db, since=1001, until=2000) == [new]
    assert await found(db, project_id="proj_y") == []


async def test_what_a_client_says_of_itself_is_cut(db: Database) -> None:
    async with db.transaction() as session:
        entry = audit.add(session, KEY, "jobs.create", "POST /" + "x" * 999, origin=Origin(user_agent="y" * 999))
        assert (len(entry.request), len(entry.user_agent or "")) == (audit.LONGEST, audit.LONGEST)

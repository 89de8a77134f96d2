"""Objects that must go: written down in the transaction that gives them up, deleted as soon as storage answers.

An upload is written down before its object is stored and struck out in the transaction that adds its row, so that
what a crash or a refused transaction leaves is deleted as well.
"""

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import DATABASE_AWAY, Database, database_now
from fettle.errors import Unavailable
from fettle.observability.causes import in_words
from fettle.storage.protocol import Away, Refused, Storage
from models import Deletion

log = structlog.get_logger()

UPLOAD_SECONDS = 3600  # after which an upload whose row is not there counts as dead
AT_ONCE = 1000  # deletions of one sweep


async def plan(session: AsyncSession, key: str, *, seconds: float = 0) -> None:
    """From now on, or when so many seconds have passed, the object and all below it must go."""
    now = await session.scalar(select(database_now()))
    await session.merge(Deletion(key=key, due_at=(now or 0) + seconds, begun=False))


async def strike_out(session: AsyncSession, key: str) -> None:
    """The object stays: a row names it. Raises Unavailable when its deletion has begun."""
    planned = delete(Deletion).where(Deletion.key == key, Deletion.begun.is_(False))
    if (await session.execute(planned)).rowcount == 0:  # type: ignore[attr-defined]  # a DELETE's result has it
        raise Unavailable("The upload took too long, and its content was deleted. Send the file again.")


async def carry_out(db: Database, storage: Storage, key: str) -> bool:
    """Deletes a planned object now; when that fails the next sweep does it."""
    try:
        async with db.transaction() as session:
            await session.execute(update(Deletion).where(Deletion.key == key).values(begun=True))
        await storage.delete(key)
        async with db.transaction() as session:
            await session.execute(delete(Deletion).where(Deletion.key == key))
    except (Away, Refused, OSError, *DATABASE_AWAY) as error:
        log.warning("not_deleted_yet", key=key, cause=in_words(error))
        return False
    return True


async def sweep(db: Database, storage: Storage) -> list[str]:
    """Carries out what is due; returns the keys that are gone."""
    async with db.snapshot() as session:
        due = select(Deletion.key).where(Deletion.due_at <= database_now()).order_by(Deletion.due_at).limit(AT_ONCE)
        keys = list(await session.scalars(due))
    return [key for key in keys if await carry_out(db, storage, key)]

"""Sessions of the console: a browser's cookie stands for an API key, and is worth nothing without that key.

The database holds an HMAC of each secret. A session can do what its key can do, and ends with it: when the key is
revoked or expires, at sign-out, or after half a day. A sign-in link is a session that nobody has opened yet.
"""

import hashlib
import hmac
import secrets
import time

from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.errors import Unauthenticated
from fettle.tenancy import api_keys
from models import ApiKey, ConsoleSession

SESSION_SECONDS = 12 * 3600
LINK_SECONDS = 15 * 60


def digest(secret: str, pepper: bytes) -> str:
    return hmac.new(pepper, f"console:{secret}".encode(), hashlib.sha256).hexdigest()


def csrf_token(secret: str, pepper: bytes) -> str:
    """What a page sends with each change. It follows from the cookie, which no page can read."""
    return hmac.new(pepper, f"csrf:{secret}".encode(), hashlib.sha256).hexdigest()


async def create(
    session: AsyncSession, key: ApiKey, pepper: bytes, *, link: bool = False, person: str | None = None
) -> tuple[ConsoleSession, str]:
    """The row and its secret, which is shown this once. Sessions that have expired are deleted on the way."""
    now = time.time()
    await session.execute(delete(ConsoleSession).where(ConsoleSession.expires_at <= now))
    secret = secrets.token_urlsafe(32)
    end = now + (LINK_SECONDS if link else SESSION_SECONDS)
    row = ConsoleSession(
        id=ids.new("session_"),
        project_id=key.project_id,
        key_id=key.id,
        digest=digest(secret, pepper),
        person=person,
        opened=not link,
        expires_at=end if key.expires_at is None else min(end, key.expires_at),
    )
    session.add(row)
    await session.flush()
    return row, secret


async def open_link(session: AsyncSession, token: str, pepper: bytes) -> tuple[ApiKey, str]:
    """Its key and the secret of the session that it becomes, once. Raises Unauthenticated."""
    secret, before = secrets.token_urlsafe(32), digest(token, pepper)
    opened = await session.execute(
        update(ConsoleSession)
        .where(ConsoleSession.digest == before, ~ConsoleSession.opened, ConsoleSession.expires_at > time.time())
        .values(digest=digest(secret, pepper), opened=True, expires_at=time.time() + SESSION_SECONDS)
    )
    assert isinstance(opened, CursorResult)  # noqa: S101 — what an UPDATE gives
    key = await authenticate(session, secret, pepper) if opened.rowcount == 1 else None
    if key is None:
        raise Unauthenticated(
            "This sign-in link was used or has expired. Get another with `fettle console`, or sign in with an API key.",
            code="sign_in_link_expired",
        )
    return key, secret


async def authenticate(session: AsyncSession, secret: str, pepper: bytes, person: str | None = None) -> ApiKey | None:
    """The live key that the session stands for; None when the session or the key has ended.

    person: whom a trusted proxy names with this request. A session that began with a name is valid only for
    requests with that name.
    """
    statement = (
        select(ApiKey)
        .join(ConsoleSession, ConsoleSession.key_id == ApiKey.id)
        .where(
            ConsoleSession.digest == digest(secret, pepper),
            ConsoleSession.opened,
            or_(ConsoleSession.person.is_(None), ConsoleSession.person == person),
            ConsoleSession.expires_at > time.time(),
        )
    )
    key = await session.scalar(statement)
    return key if key is not None and api_keys.state(key) == "live" else None


async def end(session: AsyncSession, secret: str, pepper: bytes) -> None:
    """Sign-out: whoever has copied the cookie is signed out as well."""
    await session.execute(delete(ConsoleSession).where(ConsoleSession.digest == digest(secret, pepper)))

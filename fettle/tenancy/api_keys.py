"""API keys: `fk_`, 43 characters that hold 256 random bits, and a 6-character checksum.

The database holds an HMAC of a key, so that a stolen database opens nothing.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import string
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.errors import Conflict, InvalidRequest, NotFound, Unauthenticated
from fettle.pagination import page
from fettle.settings import Settings
from fettle.tenancy import scopes
from models import ApiKey, Project

PREFIX = "fk_"
GRACE = 24 * 3600  # seconds that a rotated key stays live
DIGITS = string.digits + string.ascii_letters


def pepper(settings: Settings) -> bytes:
    """The HMAC key: `FETTLE_SECRET`, or a random one made once under the data folder (mode 0600)."""
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    file = settings.data / "secret"
    if not file.is_file():
        aside = settings.data / f"secret.{secrets.token_hex(8)}"
        write_private(aside, secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):  # another process was first: its secret is everyone's
            os.link(aside, file)  # whole from its first moment, as no reader may see a part of it
        aside.unlink()
    return file.read_text().strip().encode()


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its owner can read, at no moment otherwise."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(text)


def generate() -> str:
    body = base62(secrets.randbits(256), 43)
    return f"{PREFIX}{body}{checksum(body)}"


def checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), 6)


def base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits = DIGITS[rest] + digits
    return digits


def well_formed(key: str) -> bool:
    """A mistyped key is told apart without asking the database."""
    body, check = key[len(PREFIX) : -6], key[-6:]
    return key.startswith(PREFIX) and len(body) == 43 and checksum(body) == check


def digest(key: str, pepper: bytes) -> str:
    return hmac.new(pepper, key.encode(), hashlib.sha256).hexdigest()


async def create(
    session: AsyncSession,
    project_id: str,
    name: str,
    pepper: bytes,
    *,
    key_scopes: Sequence[str] = (scopes.ALL,),
    expires_at: float | None = None,
    key_id: str | None = None,
    owner: str | None = None,
) -> tuple[ApiKey, str]:
    """The row and the key itself, which is shown this once. Raises InvalidRequest."""
    if expires_at is not None and expires_at <= time.time():
        raise InvalidRequest("The expiry is in the past. Choose a later time.", param="expires_at")
    key = generate()
    row = ApiKey(
        id=key_id or ids.new("key_"),
        project_id=project_id,
        name=name,
        owner=owner,
        hint=key[:8],
        digest=digest(key, pepper),
        scopes=scopes.checked(key_scopes),
        expires_at=expires_at,
    )
    session.add(row)
    await session.flush()
    return row, key


async def authenticate(session: AsyncSession, key: str, pepper: bytes) -> ApiKey | None:
    """The live key's row, or None. Raises Unauthenticated for one that has expired: its owner is told so."""
    if not well_formed(key):
        return None
    statement = select(ApiKey).where(ApiKey.digest == digest(key, pepper), ApiKey.revoked_at.is_(None))
    row = await session.scalar(statement)
    if row is not None and state(row) == "expired":
        raise Unauthenticated(
            f"The API key {row.hint}… ({row.name}) has expired. Create a new one with `fettle keys create`.",
            code="expired_api_key",
        )
    return row


def state(row: ApiKey) -> Literal["live", "expired", "revoked"]:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= time.time() else "live"


async def everyone(session: AsyncSession) -> list[tuple[ApiKey, Project]]:
    """All keys with their projects, oldest first: for the operator."""
    statement = select(ApiKey, Project).join(Project, Project.id == ApiKey.project_id).order_by(ApiKey.created_at)
    return [(key, project) for key, project in await session.execute(statement)]


async def newest(session: AsyncSession, project_id: str, *, after: str | None, limit: int) -> tuple[list[ApiKey], bool]:
    statement = select(ApiKey).where(ApiKey.project_id == project_id)
    return await page(session, statement, (ApiKey.created_at, ApiKey.id), ApiKey.id, after=after, limit=limit)


async def get(session: AsyncSession, key_id: str, project_id: str | None = None) -> ApiKey:
    """project_id: the only project that the asker may see; None for the operator. Raises NotFound."""
    row = await session.get(ApiKey, key_id)
    if row is None or project_id not in (None, row.project_id):
        raise NotFound(f"No API key has the id {key_id!r}; `fettle keys list` shows them.", param="key_id")
    return row


async def revoke(session: AsyncSession, key_id: str) -> ApiKey:
    """Useless at once. Raises NotFound."""
    row = await get(session, key_id)
    row.revoked_at = row.revoked_at or time.time()
    return row


async def rotate(
    session: AsyncSession, row: ApiKey, pepper: bytes, *, grace: float = GRACE, expires_at: float | None = None
) -> tuple[ApiKey, str]:
    """A successor with the same project, name, owner and scopes; the old key expires after the grace, in seconds.

    The ids of one lineage are `key_x`, `key_x-2`, `key_x-3`, …; only its two newest keys are ever live. Raises
    Conflict for a key that is not live, or that has a successor already.
    """
    first = row.id.partition("-")[0]
    await session.get_one(ApiKey, first, with_for_update=True)  # rotations of one lineage wait for each other
    await session.refresh(row)
    if state(row) != "live":
        raise Conflict(f"The API key {row.id!r} is {state(row)}. Create a new one.", code="key_not_live")
    lineage = select(ApiKey).where(or_(ApiKey.id == first, ApiKey.id.startswith(f"{first}-", autoescape=True)))
    keys = sorted(await session.scalars(lineage), key=lambda key: (len(key.id), key.id))
    if keys[-1] is not row:
        raise Conflict(
            f"The API key {row.id!r} is already rotated. Its successor is {keys[-1].id!r}.", code="key_rotated"
        )
    for older in keys[:-1]:
        older.revoked_at = older.revoked_at or time.time()
    row.expires_at = earliest(row.expires_at, time.time() + grace)
    successor = f"{first}-{len(keys) + 1}"
    return await create(
        session,
        row.project_id,
        row.name,
        pepper,
        key_scopes=row.scopes,
        expires_at=expires_at,
        key_id=successor,
        owner=row.owner,
    )


def lifetime(row: ApiKey) -> float | None:
    """Seconds from its making to its end; None: it has none."""
    return None if row.expires_at is None else row.expires_at - row.created_at


def earliest(one: float | None, other: float | None) -> float | None:
    """None is never."""
    return min((moment for moment in (one, other) if moment is not None), default=None)

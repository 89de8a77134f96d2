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
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.errors import NotFound
from fettle.settings import Settings
from models import ApiKey, Project

PREFIX = "fk_"
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
    file.parent.mkdir(parents=True, exist_ok=True)
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


async def create(session: AsyncSession, project_id: str, name: str, pepper: bytes) -> tuple[ApiKey, str]:
    """The row and the key itself, which is shown this once."""
    key = generate()
    row = ApiKey(
        id=ids.new("key_"),
        project_id=project_id,
        name=name,
        hint=key[:8],
        digest=digest(key, pepper),
        scopes=["all"],
    )
    session.add(row)
    await session.flush()
    return row, key


async def authenticate(session: AsyncSession, key: str, pepper: bytes) -> ApiKey | None:
    """The live key's row, or None."""
    if not well_formed(key):
        return None
    statement = select(ApiKey).where(ApiKey.digest == digest(key, pepper), ApiKey.revoked_at.is_(None))
    return await session.scalar(statement)


async def everyone(session: AsyncSession) -> list[tuple[ApiKey, Project]]:
    """All keys with their projects, oldest first: for the operator."""
    statement = select(ApiKey, Project).join(Project, Project.id == ApiKey.project_id).order_by(ApiKey.created_at)
    return [(key, project) for key, project in await session.execute(statement)]


async def revoke(session: AsyncSession, key_id: str) -> ApiKey:
    row = await session.get(ApiKey, key_id)
    if row is None:
        raise NotFound(f"No API key has the id {key_id!r}; `fettle keys list` shows them.")
    row.revoked_at = row.revoked_at or time.time()
    return row

"""A link that signs a browser in to the console, once, without an API key being typed."""

import httpx

from fettle.db import Database
from fettle.errors import NotFound, Unavailable
from fettle.settings import Settings
from fettle.tenancy import api_keys, sessions

EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 — what a server listens on, not where a browser goes
MARK = '<div id="app">'


def address(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in EVERY_ADDRESS else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


async def make_link(settings: Settings) -> str:
    """For the key in admin.key. Raises NotFound without a live one."""
    file = settings.data / "admin.key"
    key = file.read_text().strip() if file.is_file() else ""
    db, pepper = Database(settings.database), api_keys.pepper(settings)
    try:
        async with db.transaction() as session:
            row = await api_keys.authenticate(session, key, pepper)
            if row is None:
                raise NotFound(
                    f"{file} has no live API key. Create one with `fettle keys create NAME --scope all --scope admin`, "
                    f"and sign in at {address(settings)}/ with it."
                )
            _, token = await sessions.create(session, row, pepper, link=True)
    finally:
        await db.close()
    return f"{address(settings)}/#/sign-in/{token}"


def check_page(settings: Settings) -> None:
    """Raises Unavailable unless the console answers."""
    url = f"{address(settings)}/"
    try:
        answer = httpx.get(url, trust_env=False, timeout=10)
    except httpx.TransportError as error:
        raise Unavailable(f"Nothing answers at {url}. Start Fettle with `fettle up`.") from error
    if answer.status_code != 200 or MARK not in answer.text:
        raise Unavailable(f"The console at {url} answers with status {answer.status_code}. See the log of the API.")

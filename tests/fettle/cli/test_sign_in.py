"""The link that signs a browser in to the console, and the check that the page answers."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from api.console import assets
from fettle import migrate
from fettle.cli import sign_in
from fettle.cli.up import first_start
from fettle.db import Database
from fettle.errors import NotFound, Unavailable
from fettle.settings import Settings
from fettle.tenancy import api_keys, sessions


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that gives a status and a page."""
    status, body = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


async def test_the_link_opens_a_session_of_the_admin_key(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, host="0.0.0.0", port=8123)  # noqa: S104
    await first_start(settings)
    link = await sign_in.make_link(settings)
    address, token = link.split("/#/sign-in/")
    assert address == "http://127.0.0.1:8123"
    db = Database(settings.database)
    async with db.transaction() as session:
        key, _ = await sessions.open_link(session, token, api_keys.pepper(settings))
    await db.close()
    assert key.name == "admin"


async def test_without_a_live_admin_key_the_way_out_is_named(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    db = Database(settings.database)
    await migrate.upgrade(db)
    await db.close()
    with pytest.raises(NotFound, match=r"admin\.key has no live API key.*fettle keys create"):
        await sign_in.make_link(settings)


@pytest.mark.parametrize("answering", [(200, assets.load().page.body)], indirect=True, ids=["page"])
def test_a_console_that_answers_passes(answering: int) -> None:
    sign_in.check_page(Settings(port=answering))


@pytest.mark.parametrize(
    "answering", [(500, assets.load().page.body), (200, b"another server")], indirect=True, ids=["status", "page"]
)
def test_another_answer_is_told(answering: int) -> None:
    with pytest.raises(Unavailable, match="answers with"):
        sign_in.check_page(Settings(port=answering))


def test_nothing_at_the_address_is_told() -> None:
    with pytest.raises(Unavailable, match="Nothing answers at http://127"):
        sign_in.check_page(Settings(port=1))

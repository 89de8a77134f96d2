"""`fettle login` against a real API: which server commands ask, and who can read the key."""

import io
import json
from pathlib import Path

import pytest

from fettle.cli import credentials
from tests.fettle.cli.conftest import Server, Shell


@pytest.fixture(autouse=True)
def no_key_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FETTLE_URL", "FETTLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_server_is_used_until_the_logout_and_only_its_user_can_read_the_key(
    shell: Shell,
    server: Server,
    stdin,  # type: ignore[no-untyped-def]
) -> None:
    assert "Start Fettle with `fettle up`" in shell.refused("models", "list")
    stdin(f"{server.key}\n")
    assert shell.ok("login", f"{server.url}/v1/") == f"Logged in to {server.url}, project default.\n"
    assert credentials.file().stat().st_mode & 0o777 == 0o600
    assert "starter" in shell.ok("models", "list")
    assert shell.ok("logout") == f"Logged out of {server.url}.\n"
    assert server.key not in credentials.file().read_text()
    assert "No API key found" in shell.refused("models", "list")
    assert "not logged in" in shell.refused("logout")


def test_a_key_that_the_server_refuses_is_not_stored(shell: Shell, server: Server, stdin) -> None:  # type: ignore[no-untyped-def]
    stdin("fk_wrong")
    shell.refused("login", server.url)
    assert not credentials.file().exists()


def test_the_environment_wins_and_that_is_said(shell: Shell, server: Server) -> None:
    shell.set(API_KEY=server.key)
    assert "FETTLE_API_KEY is set" in shell.ok("login", server.url)
    shell.set(URL="http://127.0.0.1:9")
    assert "http://127.0.0.1:9 is not responding" in shell.refused("models", "list", code=3)


def test_a_file_that_others_can_read_is_refused(shell: Shell, server: Server, stdin) -> None:  # type: ignore[no-untyped-def]
    stdin(server.key)
    shell.ok("login", server.url)
    credentials.file().chmod(0o644)
    assert "chmod 600" in shell.refused("models", "list")


@pytest.mark.parametrize("content", ["", "[]", '{"servers": []}', '{"current": 1, "servers": {"x": {}}}'])
def test_a_damaged_file_is_named(shell: Shell, content: str) -> None:
    credentials.file().parent.mkdir(parents=True)
    credentials.file().write_text(content)
    credentials.file().chmod(0o600)
    assert "is damaged" in shell.refused("models", "list")


@pytest.mark.parametrize(
    "url", ["", "fettle", "ftp://x", "http://", "https://me:key@host", "http://x:port", "http://x?a=1"]
)
def test_what_is_no_address_is_named(shell: Shell, url: str) -> None:
    assert repr(url) in shell.refused("login", "--", url)


def test_another_server_that_is_not_fettle_is_told(shell: Shell, server: Server, tmp_path: Path) -> None:
    shell.set(API_KEY="fk_x")
    (tmp_path / "x").write_text(json.dumps({}))
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as other:
        Thread(target=other.serve_forever).start()
        try:
            assert "Is it a Fettle server?" in shell.refused("login", f"http://127.0.0.1:{other.server_port}")
        finally:
            other.shutdown()

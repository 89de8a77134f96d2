"""A web page that makes its own name mean 127.0.0.1 is not answered (DNS rebinding)."""

import pytest

from api.edge import hosts
from fettle.errors import Misdirected
from fettle.settings import Settings
from tests.api.asgi import exchange, scope
from tests.conftest import Api

LOOPBACK, PUBLIC = ("127.0.0.1", 8000), ("10.0.0.5", 8000)
EVERYWHERE = "0.0.0.0"  # noqa: S104 — only looked at


def refused(name: str | None, server: tuple[str, int] = LOOPBACK, **settings: str) -> bool:
    class App:
        class state:
            pass

    App.state.settings = Settings(**settings)  # type: ignore[attr-defined, arg-type]  # a stand-in for the app, with what the check reads
    asked = scope("GET", "/healthz", {} if name is None else {"host": name}) | {"server": server, "app": App}
    try:
        hosts.check(asked)
    except Misdirected:
        return True
    return False


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost", "LOCALHOST:8000", "[::1]:8000", "127.0.0.2", "fettle-api:8000", None]
)
def test_this_machines_own_names_are_answered(host: str | None) -> None:
    assert not refused(host)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.5", ""])
def test_other_names_are_refused_on_loopback(host: str) -> None:
    assert refused(host)


def test_an_address_that_others_reach_answers_to_any_name() -> None:
    assert not refused("fettle.example", PUBLIC, host=EVERYWHERE)
    assert not refused("fettle.example", LOOPBACK, host=EVERYWHERE)  # by a proxy on the same machine


def test_the_setting_names_the_hosts() -> None:
    named = {"allowed_hosts": "fettle.example, Api.Example"}
    assert not refused("fettle.example", **named)
    assert not refused("api.example:443", **named)
    assert not refused("localhost", **named)
    assert refused("evil.example", PUBLIC, host=EVERYWHERE, **named)
    assert not refused("evil.example", allowed_hosts="*")


async def test_the_refusal_comes_before_anything_else(api: Api) -> None:
    asked = {"host": "evil.example", "authorization": "Bearer fk_wrong"}
    app = api.app

    async def on_loopback(scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]  # a stand-in for the app, with what the check reads
        await app({**scope, "server": LOOPBACK}, receive, send)

    for path in ("/healthz", "/v1/models", "/docs", "/metrics"):
        answer = await exchange(on_loopback, "GET", path, asked)  # type: ignore[arg-type]  # a stand-in for the app, with what the check reads
        assert answer.status == 421
        assert b"host_not_allowed" in answer.body

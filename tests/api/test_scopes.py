"""Every route needs a scope, says which one is missing, and asks for no other."""

import pytest

from api.scopes import NONE, ROUTES
from fettle.tenancy.scopes import ADMIN, ALL, SCOPES
from tests.api.asgi import chunk, exchange
from tests.api.tenants import Tenant, message, refusal
from tests.api.ways import GUARDED, Way

SCOPED = [way for way in GUARDED if ROUTES.get(str(way), NONE) != NONE]
SINGLE = set(SCOPES) - {ALL}


def test_every_route_has_a_scope_and_every_entry_a_route() -> None:
    assert ROUTES.keys() == {str(way) for way in GUARDED}


def test_every_scope_exists_and_opens_something() -> None:
    assert set(ROUTES.values()) - {NONE} == SINGLE


def test_what_changes_anything_needs_no_scope_for_reading() -> None:
    assert [
        way for way in ROUTES if not way.startswith("GET ") and (ROUTES[way].endswith("read") or ROUTES[way] == NONE)
    ] == []


def place(way: Way) -> str:
    return way.path.format(**dict.fromkeys(way.names, "x"))


@pytest.mark.parametrize("way", SCOPED, ids=str)
class TestEveryRoute:
    async def test_all_other_scopes_do_not_open_it(self, tenant: Tenant, way: Way) -> None:
        needed = ROUTES[str(way)]
        async with await tenant.key(*sorted(SINGLE - {needed})) as http:
            answer = await http.request(way.method, place(way))
        assert refusal(answer) == (403, "insufficient_scope", None)
        assert f"lacks the scope {needed!r}" in message(answer)
        assert f"--scope {needed}" in message(answer)

    async def test_its_own_scope_alone_does(self, tenant: Tenant, way: Way) -> None:
        async with await tenant.key(ROUTES[str(way)]) as http:
            assert (await http.request(way.method, place(way))).status_code != 403

    async def test_a_key_for_everything_is_no_operators(self, tenant: Tenant, way: Way) -> None:
        answer = await tenant.http.request(way.method, place(way))
        assert (answer.status_code == 403) == (ROUTES[str(way)] == ADMIN)


async def test_an_upload_without_the_scope_is_not_read(tenant: Tenant) -> None:
    async with await tenant.key("files.read") as http:
        headers = {
            "authorization": http.headers["authorization"],
            "content-type": "multipart/form-data; boundary=b",
            "content-length": str(1 << 20),
        }
    done = await exchange(tenant.api.app, "POST", "/v1/files", headers, [chunk(b"x" * 1000)] * 1000)
    assert (done.status, done.reads, done.headers["connection"]) == (403, 0, "close")


async def test_a_route_that_does_not_exist_is_404_whatever_the_scopes(tenant: Tenant) -> None:
    async with await tenant.key("chat") as http:
        assert refusal(await http.get("/v1/nothing")) == (404, "unknown_url", None)

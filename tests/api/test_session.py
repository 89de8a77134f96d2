"""Sign-in of the console: a cookie in place of an API key, worth no more than the key and no longer than it."""

import time
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import select, update

from fettle.tenancy import api_keys, sessions
from models import ApiKey, ConsoleSession
from tests.api.tenants import Tenant
from tests.conftest import Api


@pytest.fixture
async def browser(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with api.stranger() as http:
        yield http


def key_of(tenant: Tenant) -> str:
    return tenant.http.headers["authorization"].removeprefix("Bearer ")


async def sign_in(browser: httpx.AsyncClient, key: str) -> str:
    """The CSRF token."""
    answer = await browser.post("/session", json={"api_key": key})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["session"]["csrf_token"])


async def link_for(api: Api, tenant: Tenant) -> str:
    async with tenant.db.transaction() as session:
        key = await session.scalar(select(ApiKey).where(ApiKey.project_id == tenant.project.id))
        assert key is not None
        _, token = await sessions.create(session, key, api.app.state.pepper, link=True)
    return token


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


class TestSignIn:
    async def test_a_key_becomes_a_cookie_that_opens_the_same(self, tenant: Tenant, browser: httpx.AsyncClient) -> None:
        assert (await browser.get("/v1/files")).status_code == 401
        await sign_in(browser, key_of(tenant))
        assert (await browser.get("/v1/files")).status_code == 200
        assert (await browser.get("/session")).json()["session"]["project"]["name"] == tenant.project.name

    async def test_no_script_and_no_other_site_gets_the_cookie(
        self, tenant: Tenant, browser: httpx.AsyncClient
    ) -> None:
        answer = await browser.post("/session", json={"api_key": key_of(tenant)})
        flags = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
        assert {"httponly", "samesite=strict", f"max-age={sessions.SESSION_SECONDS}", "path=/"} <= flags
        assert "secure" not in flags  # plain http on loopback
        assert answer.headers["cache-control"] == "no-store"
        assert key_of(tenant) not in answer.text

    async def test_behind_https_the_cookie_stays_on_https(self, api: Api, tenant: Tenant) -> None:
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as browser:
            answer = await browser.post("/session", json={"api_key": key_of(tenant)})
        assert "; secure" in answer.headers["set-cookie"].lower()

    @pytest.mark.parametrize("key", ["fk_wrong", api_keys.generate()], ids=["malformed", "unknown"])
    async def test_a_wrong_key_is_refused(self, browser: httpx.AsyncClient, key: str) -> None:
        answer = await browser.post("/session", json={"api_key": key})
        assert code(answer) == (401, "invalid_api_key")
        assert "set-cookie" not in answer.headers

    @pytest.mark.parametrize("body", [{}, {"api_key": "a", "link_token": "b"}], ids=["neither", "both"])
    async def test_exactly_one_way_to_sign_in_is_taken(self, browser: httpx.AsyncClient, body: dict[str, str]) -> None:
        answer = await browser.post("/session", json=body)
        assert answer.status_code == 400
        assert "one of 'api_key', 'link_token' and 'project_id'" in answer.json()["error"]["message"]

    async def test_a_stranger_can_send_only_a_few_bytes(self, browser: httpx.AsyncClient) -> None:
        answer = await browser.post("/session", json={"api_key": "k" * 5000})
        assert code(answer) == (413, "request_too_large")

    async def test_pages_of_other_sites_sign_nobody_in(self, tenant: Tenant, browser: httpx.AsyncClient) -> None:
        headers = {"origin": "https://evil.example"}
        answer = await browser.post("/session", json={"api_key": key_of(tenant)}, headers=headers)
        assert code(answer) == (403, "origin_not_allowed")
        own = {"origin": str(browser.base_url).rstrip("/")}
        assert (await browser.post("/session", json={"api_key": key_of(tenant)}, headers=own)).status_code == 200

    async def test_servers_on_two_ports_of_one_host_keep_their_cookies_apart(self, api: Api, tenant: Tenant) -> None:
        names = set()
        for port in (8000, 8001):
            transport = httpx.ASGITransport(api.app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://localhost:{port}") as browser:
                answer = await browser.post("/session", json={"api_key": key_of(tenant)})
                names.add(answer.headers["set-cookie"].partition("=")[0])
        assert names == {"fettle_session_8000", "fettle_session_8001"}


class TestChanges:
    async def test_a_change_needs_the_csrf_token(self, tenant: Tenant, browser: httpx.AsyncClient) -> None:
        token = await sign_in(browser, key_of(tenant))
        job = await tenant.job()
        path = f"/v1/fine_tuning/jobs/{job['id']}/cancel"
        assert code(await browser.post(path)) == (403, "csrf_token_invalid")
        assert code(await browser.post(path, headers={"x-csrf-token": token[:-1]})) == (403, "csrf_token_invalid")
        assert (await tenant.http.get(f"/v1/fine_tuning/jobs/{job['id']}")).json()["status"] == "queued"
        assert (await browser.post(path, headers={"x-csrf-token": token})).json()["status"] == "cancelled"

    async def test_another_sessions_csrf_token_does_not_do(
        self, api: Api, tenant: Tenant, browser: httpx.AsyncClient
    ) -> None:
        await sign_in(browser, key_of(tenant))
        async with api.stranger() as elsewhere:
            theirs = await sign_in(elsewhere, key_of(tenant))
        answer = await browser.delete("/v1/files/file-x", headers={"x-csrf-token": theirs})
        assert code(answer) == (403, "csrf_token_invalid")

    async def test_a_session_can_do_no_more_than_its_key(self, tenant: Tenant, browser: httpx.AsyncClient) -> None:
        reader = await tenant.key("jobs.read")
        token = await sign_in(browser, reader.headers["authorization"].removeprefix("Bearer "))
        await reader.aclose()
        assert (await browser.get("/v1/fine_tuning/jobs")).status_code == 200
        answer = await browser.post("/v1/fine_tuning/jobs/x/cancel", headers={"x-csrf-token": token})
        assert code(answer) == (403, "insufficient_scope")

    async def test_an_api_key_needs_no_csrf_token_even_beside_a_cookie(
        self, tenant: Tenant, browser: httpx.AsyncClient
    ) -> None:
        await sign_in(browser, key_of(tenant))
        headers = {"authorization": f"Bearer {key_of(tenant)}"}
        assert (await browser.delete("/v1/files/file-x", headers=headers)).status_code == 404


class TestEnd:
    async def test_sign_out_ends_the_session_for_every_copy_of_the_cookie(
        self, api: Api, tenant: Tenant, browser: httpx.AsyncClient
    ) -> None:
        token = await sign_in(browser, key_of(tenant))
        async with api.stranger() as thief:
            thief.cookies = httpx.Cookies(browser.cookies)
            assert (await thief.get("/v1/files")).status_code == 200
            assert (await browser.delete("/session")).status_code == 403  # not without the token
            out = await browser.delete("/session", headers={"x-csrf-token": token})
            assert out.json() == {"session": None}
            assert 'fettle_session=""; ' in out.headers["set-cookie"]
            assert code(await thief.get("/v1/files")) == (401, "session_ended")
            assert (await thief.get("/session")).json() == {"session": None}

    async def test_a_revoked_key_takes_its_sessions_along(self, tenant: Tenant, browser: httpx.AsyncClient) -> None:
        await sign_in(browser, key_of(tenant))
        async with tenant.db.transaction() as session:
            key = await session.scalar(select(ApiKey).where(ApiKey.project_id == tenant.project.id))
            assert key is not None
            key.revoked_at = time.time()
        assert code(await browser.get("/v1/files")) == (401, "session_ended")

    async def test_a_session_expires_and_its_row_goes_at_the_next_sign_in(
        self, tenant: Tenant, browser: httpx.AsyncClient
    ) -> None:
        await sign_in(browser, key_of(tenant))
        mine = ConsoleSession.project_id == tenant.project.id
        async with tenant.db.transaction() as session:
            await session.execute(update(ConsoleSession).where(mine).values(expires_at=time.time() - 1))
        assert code(await browser.get("/v1/files")) == (401, "session_ended")
        await sign_in(browser, key_of(tenant))
        async with tenant.db.snapshot() as session:
            assert len((await session.scalars(select(ConsoleSession).where(mine))).all()) == 1

    async def test_the_database_holds_no_secret(self, tenant: Tenant, browser: httpx.AsyncClient) -> None:
        await sign_in(browser, key_of(tenant))
        (secret,) = browser.cookies.values()
        async with tenant.db.snapshot() as session:
            rows = await session.scalars(select(ConsoleSession.digest))
            assert secret not in set(rows)


class TestLinks:
    async def test_a_link_signs_in_once(self, api: Api, tenant: Tenant, browser: httpx.AsyncClient) -> None:
        token = await link_for(api, tenant)
        opened = await browser.post("/session", json={"link_token": token})
        assert opened.json()["session"]["project"]["name"] == tenant.project.name
        assert (await browser.get("/v1/files")).status_code == 200
        async with api.stranger() as second:
            assert code(await second.post("/session", json={"link_token": token})) == (401, "sign_in_link_expired")

    async def test_a_link_is_no_session_and_a_session_is_no_link(
        self, api: Api, tenant: Tenant, browser: httpx.AsyncClient
    ) -> None:
        token = await link_for(api, tenant)
        browser.cookies.set("fettle_session", token)
        assert code(await browser.get("/v1/files")) == (401, "session_ended")
        browser.cookies.clear()
        await sign_in(browser, key_of(tenant))
        (secret,) = browser.cookies.values()
        assert code(await browser.post("/session", json={"link_token": secret})) == (401, "sign_in_link_expired")

    async def test_a_link_that_waited_too_long_is_refused(
        self, api: Api, tenant: Tenant, browser: httpx.AsyncClient
    ) -> None:
        token = await link_for(api, tenant)
        async with tenant.db.transaction() as session:
            row = await session.scalar(select(ConsoleSession).where(ConsoleSession.project_id == tenant.project.id))
            assert row is not None
            assert 14 * 60 < row.expires_at - time.time() <= 15 * 60
            row.expires_at = time.time() - 1
        assert code(await browser.post("/session", json={"link_token": token})) == (401, "sign_in_link_expired")

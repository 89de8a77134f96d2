"""Behind a company's sign-in: only a trusted proxy says who somebody is, and only to whom it names."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from fettle.settings import Settings, invalid_setting
from fettle.tenancy import api_keys
from tests.api.tenants import running, settings_in
from tests.conftest import Api

HEADER = "X-Auth-Request-Email"
PROXY, ELSEWHERE = "10.1.2.3", "10.9.9.9"
ANN = {HEADER: "Ann@example.com"}
BOB = {HEADER: "bob@example.com"}

Browse = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Api]:
    settings = settings_in(tmp_path, proxy_user_header=HEADER, trusted_proxies="10.1.0.0/16, fd00::1")
    async with running(settings) as api:
        yield api


@pytest.fixture
async def browse(company: Api) -> AsyncIterator[Browse]:
    """A browser whose requests come from an address."""
    opened: list[httpx.AsyncClient] = []

    def start(address: str, app: Any = company.app) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, client=(address, 4000))
        opened.append(httpx.AsyncClient(transport=transport, base_url="http://localhost"))
        return opened[-1]

    yield start
    for http in opened:
        await http.aclose()


async def key_for(api: Api, owner: str, project: str) -> str:
    """The key's id."""
    async with await api.client(project, owner=owner) as http:
        return str((await http.get("/v1/api_keys")).json()["data"][0]["id"])


async def sign_in(http: httpx.AsyncClient, headers: dict[str, str]) -> Any:
    found = (await http.get("/session", headers=headers)).json()
    answer = await http.post("/session", json={"project_id": found["projects"][0]["id"]}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["session"]


class TestPerson:
    async def test_a_person_enters_the_project_of_their_key(self, company: Api, browse: Browse) -> None:
        await key_for(company, "ann@example.com", "research")
        http = browse(PROXY)
        found = (await http.get("/session", headers=ANN)).json()
        assert (found["session"], found["person"]) == (None, "Ann@example.com")
        assert [project["name"] for project in found["projects"]] == ["research"]
        session = await sign_in(http, ANN)
        assert (session["person"], session["project"]["name"]) == ("Ann@example.com", "research")
        assert (await http.get("/v1/files", headers=ANN)).status_code == 200
        headers = ANN | {"x-csrf-token": session["csrf_token"]}
        assert (await http.delete("/v1/files/file-none", headers=headers)).status_code == 404

    async def test_a_person_without_a_project_is_told_what_to_do(self, company: Api, browse: Browse) -> None:
        await key_for(company, "ann@example.com", "research")
        http = browse(PROXY)
        assert (await http.get("/session", headers=BOB)).json()["projects"] == []
        theirs = (await http.get("/session", headers=ANN)).json()["projects"][0]["id"]
        refused = await http.post("/session", json={"project_id": theirs}, headers=BOB)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "person_without_key")
        assert "fettle keys create console --project NAME --owner bob@example.com" in refused.text

    async def test_of_several_projects_the_person_chooses(self, company: Api, browse: Browse) -> None:
        for project in ("research", "support"):
            await key_for(company, "ann@example.com", project)
        http = browse(PROXY)
        projects = (await http.get("/session", headers=ANN)).json()["projects"]
        assert [project["name"] for project in projects] == ["research", "support"]
        answer = await http.post("/session", json={"project_id": projects[1]["id"]}, headers=ANN)
        assert answer.json()["session"]["project"]["name"] == "support"

    async def test_revoking_the_key_ends_it_all(self, company: Api, browse: Browse) -> None:
        key_id = await key_for(company, "ann@example.com", "research")
        http = browse(PROXY)
        await sign_in(http, ANN)
        async with company.app.state.db.transaction() as session:
            await api_keys.revoke(session, key_id)
        assert (await http.get("/v1/files", headers=ANN)).status_code == 401
        assert (await http.get("/session", headers=ANN)).json()["projects"] == []


class TestSpoofing:
    @pytest.mark.parametrize(
        "extra", [{}, {"X-Forwarded-For": PROXY}, {"X-Real-IP": PROXY}, {"Forwarded": f"for={PROXY}"}]
    )
    @pytest.mark.parametrize("address", [ELSEWHERE, "127.0.0.1", "::1", "::ffff:10.9.9.9", "fd00::2", "not an address"])
    async def test_the_header_of_anyone_else_is_ignored(
        self, company: Api, browse: Browse, address: str, extra: dict[str, str]
    ) -> None:
        await key_for(company, "ann@example.com", "research")
        trusted = browse(PROXY)
        project = (await trusted.get("/session", headers=ANN)).json()["projects"][0]["id"]
        http = browse(address)
        assert (await http.get("/session", headers=ANN | extra)).json() == {"session": None}
        refused = await http.post("/session", json={"project_id": project}, headers=ANN | extra)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "no_proxy_user")
        assert (await http.get("/v1/files", headers=ANN | extra)).status_code == 401

    @pytest.mark.parametrize("address", [PROXY, "10.1.255.255", "fd00::1", "::ffff:10.1.2.3"])
    async def test_every_trusted_address_counts(self, company: Api, browse: Browse, address: str) -> None:
        headers = ANN | {"X-Forwarded-For": ELSEWHERE}  # of the person's own machine
        assert (await browse(address).get("/session", headers=headers)).json()["person"] == "Ann@example.com"

    async def test_a_cookie_is_worth_nothing_to_another_person_or_without_the_proxy(
        self, company: Api, browse: Browse
    ) -> None:
        await key_for(company, "ann@example.com", "research")
        http = browse(PROXY)
        await sign_in(http, ANN)
        around = browse(ELSEWHERE)
        around.cookies = http.cookies
        for client, headers in ((http, BOB), (http, {}), (around, ANN), (around, {})):
            answer = await client.get("/v1/files", headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "session_ended")
            assert (await client.get("/session", headers=headers)).json()["session"] is None

    async def test_a_header_that_the_client_sent_as_well_is_refused(self, company: Api, browse: Browse) -> None:
        answer = await browse(PROXY).get("/session", headers=[(HEADER, "ann@example.com"), (HEADER, "bob@example.com")])
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "proxy_user_header_repeated")

    @pytest.mark.parametrize("name", ["a" * 201, "ann\x7f", "ann\tb"])
    async def test_what_is_no_name_is_refused(self, company: Api, browse: Browse, name: str) -> None:
        answer = await browse(PROXY).get("/session", headers={HEADER: name})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "proxy_user_header_invalid")

    async def test_a_wildcard_in_a_name_matches_nothing(self, company: Api, browse: Browse) -> None:
        await key_for(company, "ann@example.com", "research")
        for name in ("%", "a__@example.com", "*", "ann@example.com' OR '1'='1"):
            assert (await browse(PROXY).get("/session", headers={HEADER: name})).json()["projects"] == []

    async def test_without_the_setting_nobody_is_named(self, api: Api, browse: Browse) -> None:
        await key_for(api, "ann@example.com", "research")
        assert (await browse(PROXY, api.app).get("/session", headers=ANN)).json() == {"session": None}

    async def test_a_key_signs_in_as_before(self, company: Api, browse: Browse) -> None:
        async with await company.client("research") as client:
            key = client.headers["authorization"].removeprefix("Bearer ")
        http = browse(PROXY)
        assert (await http.post("/session", json={"api_key": key}, headers=ANN)).status_code == 200
        assert (await http.get("/v1/files")).status_code == 200


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"proxy_user_header": HEADER}, "FETTLE_TRUSTED_PROXIES"),
        ({"proxy_user_header": "Authorization", "trusted_proxies": PROXY}, "only the proxy sets"),
        ({"proxy_user_header": "X User", "trusted_proxies": PROXY}, "only the proxy sets"),
        ({"proxy_user_header": HEADER, "trusted_proxies": "0.0.0.0/0"}, "Every address"),
        ({"proxy_user_header": HEADER, "trusted_proxies": "proxy.local"}, "FETTLE_TRUSTED_PROXIES"),
    ],
)
def test_settings_that_would_trust_too_many_are_refused(changed: dict[str, str], word: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**changed)  # type: ignore[arg-type]
    assert word in invalid_setting(refused.value)

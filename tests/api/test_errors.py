"""OpenAI's shape for everything that goes wrong, with an id to ask about."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from api.app import create_app
from fettle.cli.up import free_port
from fettle.db import Database
from fettle.settings import Settings
from fettle.storage import Refused
from fettle.tenancy import api_keys
from tests.api.asgi import GONE, chunk, exchange
from tests.api.tenants import Tenant, message, refusal, running, settings_in
from tests.conftest import Api

JOBS = "/v1/fine_tuning/jobs"
JSON = {"content-type": "application/json"}


async def boom() -> None:
    raise RuntimeError("the password is sesame")


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with running(settings_in(tmp_path_factory.mktemp("errors"))) as application:
        application.app.add_api_route("/v1/boom", boom)
        yield application


async def post(tenant: Tenant, content: bytes, headers: dict[str, str] = JSON) -> httpx.Response:
    return await tenant.http.post(JOBS, content=content, headers=headers)


class TestRoutes:
    @pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/nothing", "/v1/files/a/b/c", "/v2/files"])
    async def test_an_unknown_path_is_404(self, tenant: Tenant, path: str) -> None:
        answer = await tenant.http.get(path)
        assert refusal(answer) == (404, "unknown_url", None)
        assert path in message(answer)

    @pytest.mark.parametrize(
        ("method", "path"), [("PUT", "/v1/files"), ("PATCH", "/v1/models/starter"), ("DELETE", JOBS)]
    )
    async def test_a_wrong_method_is_405(self, tenant: Tenant, method: str, path: str) -> None:
        answer = await tenant.http.request(method, path)
        assert refusal(answer) == (405, "method_not_allowed", None)
        assert answer.headers["allow"]

    @pytest.mark.parametrize(
        "url", ["/v1/files/a%00b", "/v1/models/%00", "/v1/files?after=%00", f"{JOBS}?metadata[a]=%00"]
    )
    async def test_a_nul_in_the_url_never_reaches_the_database(self, tenant: Tenant, url: str) -> None:
        assert refusal(await tenant.http.get(url)) == (400, "invalid_url", None)


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"{", "not JSON"),
            (b'{"model": "starter",}', "not JSON"),
            (b"\xff", "not JSON"),
            (b'{"model": NaN}', "not JSON"),
            (b'{"seed": Infinity}', "not JSON"),
            (b'{"model": "\\ud800"}', "not JSON"),
            (b'{"model": "a\0b"}', "not JSON"),
            (b"[]", "list"),
            (b'"text"', "str"),
            (b"null", "NoneType"),
            (b'{"model": "a\\u0000b"}', "NUL"),
            (b'{"model": "a", "model": "b"}', "'model' appears twice"),
            (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "deeper"),
            (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "JSON"),
        ],
    )
    async def test_what_is_not_strict_json_is_refused(self, tenant: Tenant, body: bytes, words: str) -> None:
        answer = await post(tenant, body)
        assert refusal(answer)[:2] == (400, "invalid_json")
        assert words in message(answer)

    async def test_strictness_does_not_hang_on_the_content_types_spelling(self, tenant: Tenant) -> None:
        answer = await post(tenant, b'{"model": NaN}', {"content-type": "Application/JSON; charset=utf-8"})
        assert refusal(answer)[:2] == (400, "invalid_json")

    async def test_a_key_that_stands_twice_is_named_with_its_path(self, tenant: Tenant) -> None:
        assert refusal(await post(tenant, b'{"metadata": {"a": "1", "a": "2"}}'))[2] == "metadata.a"

    async def test_escapes_that_look_suspicious_are_let_through(self, tenant: Tenant) -> None:
        file = await tenant.upload()
        body = b'{"model": "starter", "training_file": "%s", "metadata": {"note": "\\u0022 \\\\u0000"}}'
        answer = await post(tenant, body % file["id"].encode())
        assert answer.json()["metadata"] == {"note": '" \\u0000'}

    @pytest.mark.parametrize(
        "headers", [{}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}]
    )
    async def test_a_body_that_is_not_said_to_be_json_is_refused(self, tenant: Tenant, headers: dict[str, str]) -> None:
        answer = await post(tenant, b'{"model": "starter"}', headers)
        assert refusal(answer) == (400, "invalid_json", None)
        assert "application/json" in message(answer)

    async def test_no_body_is_refused(self, tenant: Tenant) -> None:
        assert refusal(await tenant.http.post(JOBS)) == (400, "invalid_json", None)

    async def test_a_long_value_is_not_shown_whole(self, tenant: Tenant) -> None:
        answer = await tenant.http.post(JOBS, json={"model": "starter", "training_file": ["x" * 10_000]})
        assert len(message(answer)) < 300

    @pytest.mark.parametrize("name", ["body", "query", "path", "header"])
    async def test_a_parameter_may_be_named_like_a_part_of_the_request(self, tenant: Tenant, name: str) -> None:
        answer = await tenant.http.post(
            JOBS, json={"model": "starter", "training_file": "file-x", "metadata": {name: 5}}
        )
        assert refusal(answer) == (400, "invalid_value", f"metadata.{name}")


class TestBugs:
    async def test_nothing_is_told_but_an_id_that_the_log_knows(self, tenant: Tenant) -> None:
        with capture_logs([merge_contextvars]) as logged:
            answer = await tenant.http.get("/v1/boom")
        assert refusal(answer) == (500, "internal_error", None)
        assert answer.json()["error"]["type"] == "server_error"
        assert "sesame" not in answer.text
        assert answer.headers["x-request-id"] in message(answer)
        assert answer.headers["x-should-retry"] == "false"
        entry = next(entry for entry in logged if entry["event"] == "internal_error")
        assert entry["request_id"] == answer.headers["x-request-id"]
        assert "sesame" in str(entry["exc_info"])

    @pytest.mark.parametrize(
        ("path", "content_type"), [("/v1/files", "multipart/form-data; boundary=b"), (JOBS, "application/json")]
    )
    async def test_a_client_that_goes_away_is_no_bug(
        self, api: Api, tenant: Tenant, path: str, content_type: str
    ) -> None:
        headers = {"content-type": content_type, "authorization": tenant.http.headers["authorization"]}
        with capture_logs() as logged:
            await exchange(api.app, "POST", path, headers, [chunk(b"--b\r\n"), GONE])
        assert [(entry["event"], entry["status"]) for entry in logged] == [("request", 499)]


async def test_a_database_that_is_away_is_worth_another_try(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, database_url=f"postgresql+asyncpg://fettle@127.0.0.1:{free_port()}/fettle")
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        answer = await Api(app).stranger(api_keys.generate()).get("/v1/models")
    assert answer.status_code == 503
    assert answer.headers["x-should-retry"] == "true"
    assert answer.json()["error"]["code"] == "service_unavailable"


async def full_database() -> None:
    folder = tempfile.TemporaryDirectory()
    small = Database(f"sqlite+aiosqlite:///{folder.name}/small.db")
    try:
        async with small.transaction() as session:
            await session.execute(text("PRAGMA max_page_count = 2"))
            await session.execute(text("CREATE TABLE t AS SELECT zeroblob(1 << 20)"))
    finally:
        await small.close()
        folder.cleanup()


async def wrong_query() -> None:
    """What a retry cannot mend."""
    folder = tempfile.TemporaryDirectory()
    small = Database(f"sqlite+aiosqlite:///{folder.name}/small.db")
    try:
        async with small.transaction() as session:
            await session.execute(text("SELECT * FROM no_such_table"))
    finally:
        await small.close()
        folder.cleanup()


async def refused() -> None:
    raise Refused("files/x", "403 AccessDenied: no, says http://10.1.2.3:9000/bucket")


async def other_trouble() -> None:
    Path("/proc/self/mem/x").read_bytes()


class TestWhatNoRetryMends:
    async def test_a_missing_table_is_a_bug_and_the_log_has_the_statement(self, api: Api, tenant: Tenant) -> None:
        api.app.add_api_route("/v1/wrong", wrong_query)
        with capture_logs() as lines:
            answer = await tenant.http.get("/v1/wrong")
        assert refusal(answer) == (500, "internal_error", None)
        assert answer.headers["x-should-retry"] == "false"
        logged = next(line for line in lines if line["event"] == "internal_error")
        assert "no such table: no_such_table" in str(logged["exc_info"])

    async def test_a_store_that_refuses_is_quoted_without_its_address(self, api: Api, tenant: Tenant) -> None:
        api.app.add_api_route("/v1/refused", refused)
        answer = await tenant.http.get("/v1/refused")
        assert refusal(answer) == (502, "storage_refused", None)
        assert answer.headers["x-should-retry"] == "false"
        assert "403 AccessDenied: no, says" in message(answer)
        assert "10.1.2.3" not in answer.text


class TestDiskFull:
    async def test_an_upload_is_507_for_good_and_leaves_nothing(
        self, api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.routes.files.secrets.token_hex", lambda length: "full")
        (api.app.state.uploads / "full").symlink_to("/dev/full")
        with capture_logs() as lines:
            answer = await tenant.send_file(b"x" * (3 << 20))
        assert refusal(answer) == (507, "disk_full", None)
        assert answer.headers["x-should-retry"] == "false"
        assert [line["event"] for line in lines if line["log_level"] == "error"] == ["disk_full"]
        assert list(api.app.state.uploads.iterdir()) == []
        assert (await tenant.http.get("/v1/files")).json()["data"] == []

    async def test_so_is_what_a_full_database_refuses(self, api: Api, tenant: Tenant) -> None:
        api.app.add_api_route("/v1/full", full_database)
        assert refusal(await tenant.http.get("/v1/full")) == (507, "disk_full", None)

    async def test_another_error_of_the_system_stays_a_bug(self, api: Api, tenant: Tenant) -> None:
        api.app.add_api_route("/v1/other", other_trouble)
        assert refusal(await tenant.http.get("/v1/other")) == (500, "internal_error", None)

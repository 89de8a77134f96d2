import json
from collections.abc import AsyncIterator

import pytest

from fettle.tenancy import api_keys
from tests.api.asgi import chunk, exchange
from tests.api.tenants import Tenant, message, refusal, running, settings_in
from tests.conftest import Api

JOBS = "/v1/fine_tuning/jobs"
CAP = 1000  # bytes of a JSON body in these tests


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with running(settings_in(tmp_path_factory.mktemp("middleware"), max_body_bytes=CAP)) as application:
        yield application


def auth(tenant: Tenant) -> dict[str, str]:
    return {"authorization": tenant.http.headers["authorization"]}


class TestRequestId:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/v1/models", 200),
            ("GET", "/healthz", 200),
            ("GET", "/v1/nothing", 404),
            ("GET", "/v1/files/file-x", 404),
            ("GET", "/v1/files/", 307),
            ("PUT", "/v1/files", 405),
            ("POST", JOBS, 400),
        ],
    )
    async def test_every_answer_has_its_own(self, tenant: Tenant, method: str, path: str, status: int) -> None:
        answers = [await tenant.http.request(method, path) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [status, status]
        found = {answer.headers["x-request-id"] for answer in answers}
        assert len(found) == 2
        assert all(name.startswith("req_") for name in found)

    async def test_a_refusal_at_the_gate_has_one(self, api: Api) -> None:
        async with api.stranger() as http:
            answer = await http.get("/v1/models")
        assert answer.status_code == 401
        assert answer.headers["x-request-id"].startswith("req_")


class TestKey:
    @pytest.mark.parametrize(
        ("header", "code"),
        [
            (None, "missing_api_key"),
            ("Bearer", "missing_api_key"),
            ("Bearer ", "missing_api_key"),
            ("Basic dXNlcjpwYXNz", "missing_api_key"),
            ("Bearer sk-proj-1234567890", "invalid_api_key"),
            ("Bearer fk_short", "invalid_api_key"),
            ("Bearer schlüssel", "invalid_api_key"),
        ],
    )
    async def test_what_is_no_key_is_401(self, api: Api, header: str | None, code: str) -> None:
        async with api.stranger() as http:
            answer = await http.get(
                "/v1/models", headers={b"authorization": header.encode("latin-1")} if header else {}
            )
        assert refusal(answer) == (401, code, None)
        assert answer.headers["www-authenticate"] == "Bearer"

    async def test_a_well_formed_key_that_nobody_made_is_401_and_not_repeated(self, api: Api) -> None:
        key = api_keys.generate()
        async with api.stranger(key) as http:
            answer = await http.get("/v1/models")
        assert refusal(answer) == (401, "invalid_api_key", None)
        assert key[:6] in message(answer)
        assert key[:10] not in answer.text

    async def test_a_revoked_key_is_401(self, api: Api, tenant: Tenant) -> None:
        async with tenant.db.transaction() as session:
            row, key = await api_keys.create(session, tenant.project.id, "old", api.app.state.pepper)
        async with api.stranger(key) as http:
            assert (await http.get("/v1/models")).status_code == 200
            async with tenant.db.transaction() as session:
                await api_keys.revoke(session, row.id)
            assert refusal(await http.get("/v1/models"))[0] == 401

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
    async def test_the_schemes_spelling_does_not_matter(self, api: Api, tenant: Tenant, scheme: str) -> None:
        key = tenant.http.headers["authorization"].removeprefix("Bearer ")
        async with api.stranger() as http:
            answer = await http.get("/v1/models", headers={"authorization": f"{scheme} {key}"})
        assert answer.status_code == 200

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
    async def test_these_paths_are_open(self, api: Api, path: str) -> None:
        async with api.stranger() as http:
            assert (await http.get(path)).status_code == 200

    async def test_an_unknown_path_is_not_told_to_strangers(self, api: Api) -> None:
        async with api.stranger() as http:
            assert refusal(await http.get("/v1/nothing"))[0] == 401

    async def test_a_strangers_upload_of_600_mb_is_refused_unread(self, api: Api) -> None:
        headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(600 << 20)}
        for key in ({}, {"authorization": f"Bearer {api_keys.generate()}"}):
            done = await exchange(api.app, "POST", "/v1/files", headers | key, [chunk(b"x" * 1000)] * 1000)
            assert (done.status, done.reads) == (401, 0)
            assert set(json.loads(done.body)["error"]) == {"message", "type", "param", "code"}


class TestCaps:
    async def test_a_declared_size_over_the_limit_is_refused_unread(self, api: Api, tenant: Tenant) -> None:
        headers = {**auth(tenant), "content-type": "application/json", "content-length": str(CAP + 1)}
        done = await exchange(api.app, "POST", JOBS, headers, [chunk(b"{}", last=True)])
        assert (done.status, done.reads) == (413, 0)

    async def test_an_undeclared_one_is_cut_off(self, api: Api, tenant: Tenant) -> None:
        headers = {**auth(tenant), "content-type": "application/json"}
        done = await exchange(api.app, "POST", JOBS, headers, [chunk(b" " * 100)] * 100)
        assert (done.status, done.reads) == (413, 11)
        error = json.loads(done.body)["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", "request_too_large")
        assert "1,000" in error["message"]

    async def test_the_limit_itself_is_allowed(self, tenant: Tenant) -> None:
        body = b'{"model": "nothing", "training_file": "x"}'
        answer = await tenant.http.post(JOBS, content=body.ljust(CAP), headers={"content-type": "application/json"})
        assert refusal(answer) == (404, "model_not_found", "model")

    async def test_the_larger_limit_is_for_uploads_alone(self, tenant: Tenant) -> None:
        form = {"content-type": "multipart/form-data; boundary=b"}
        assert refusal(await tenant.http.post(JOBS, content=b"x" * (CAP + 1), headers=form))[0] == 413
        assert refusal(await tenant.http.post("/v1/files", content=b"x" * (CAP + 1), headers=form))[0] == 400

    async def test_a_body_in_pieces_arrives_whole(self, api: Api, tenant: Tenant) -> None:
        body = b'{"model": "nothing", "training_file": "x"}'
        pieces = [chunk(body[n : n + 5]) for n in range(0, len(body), 5)] + [chunk(last=True)]
        headers = {**auth(tenant), "content-type": "application/json"}
        done = await exchange(api.app, "POST", JOBS, headers, pieces)
        assert json.loads(done.body)["error"]["code"] == "model_not_found"

    async def test_a_body_that_breaks_off_is_not_acted_upon(self, api: Api, tenant: Tenant) -> None:
        job = await tenant.job()
        await exchange(api.app, "POST", f"{JOBS}/{job['id']}/cancel", auth(tenant), [chunk(b"")])
        assert (await tenant.http.get(f"{JOBS}/{job['id']}")).json()["status"] == "queued"

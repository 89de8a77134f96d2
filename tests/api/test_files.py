import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from starlette.types import Message

from models import File, JobStatus
from tests.api.asgi import GONE, chunk, exchange
from tests.api.tenants import Tenant, jsonl, message, refusal, running, settings_in
from tests.conftest import Api

CAP = 256 * 1024  # bytes of a dataset in these tests

FORM = {"content-type": "multipart/form-data; boundary=b"}
PURPOSE = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="sums.jsonl"\r\n\r\n%s\r\n'
END = b"--b--\r\n"


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with running(settings_in(tmp_path_factory.mktemp("files"), max_upload_bytes=CAP)) as application:
        yield application


def uploads(api: Api) -> list[Path]:
    return list(api.app.state.uploads.iterdir())


def stored(api: Api) -> list[Path]:
    return [path for path in Path(api.app.state.settings.storage).rglob("*") if path.is_file()]


async def rows(tenant: Tenant) -> int:
    async with tenant.db.snapshot() as session:
        return await session.scalar(select(func.count()).where(File.project_id == tenant.project.id)) or 0


def auth(tenant: Tenant) -> dict[str, str]:
    return {"authorization": tenant.http.headers["authorization"]}


class TestUpload:
    async def test_a_good_dataset_is_processed_when_the_answer_comes(self, tenant: Tenant) -> None:
        file = await tenant.upload(jsonl(12), "sums.jsonl")
        assert file["id"].startswith("file-")
        assert file["object"] == "file"
        assert file["purpose"] == "fine-tune"
        assert file["status"] == "processed"
        assert file["status_details"] is None
        assert file["filename"] == "sums.jsonl"
        assert file["bytes"] == len(jsonl(12))
        assert file["validation"]["rows"] == 12
        assert (await tenant.http.get(f"/v1/files/{file['id']}/content")).content == jsonl(12)

    @pytest.mark.parametrize("parts", [[PURPOSE, FILE], [FILE, PURPOSE]], ids=["purpose first", "file first"])
    async def test_the_order_of_the_fields_does_not_matter(self, tenant: Tenant, parts: list[bytes]) -> None:
        body = b"".join([*parts, END]).replace(b"%s", jsonl(10))
        answer = await tenant.http.post("/v1/files", content=body, headers=FORM)
        assert answer.status_code == 200
        assert answer.json()["bytes"] == len(jsonl(10))

    async def test_a_filename_keeps_its_umlauts(self, tenant: Tenant) -> None:
        assert (await tenant.upload(filename="Zähler 数.jsonl"))["filename"] == "Zähler 数.jsonl"

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("/home/me/data/a.jsonl", "a.jsonl"),
            ("../../a.jsonl", "a.jsonl"),
            ("data\\\\a b.jsonl", "a b.jsonl"),
            ("data/", "upload"),
        ],
    )
    async def test_a_filename_with_a_path_becomes_a_bare_name(self, tenant: Tenant, sent: str, kept: str) -> None:
        assert (await tenant.upload(filename=sent))["filename"] == kept

    async def test_content_goes_to_disk_as_it_comes(
        self, api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fettle.datasets.ingest.FLUSH", 1)
        on_disk: list[int] = []

        async def slow() -> AsyncIterator[Message]:
            before, after = (PURPOSE + FILE + END).split(b"%s")
            yield chunk(before)
            for _ in range(3):
                yield chunk(jsonl(10) + b"\n" + b" " * 60_000 + b"\n")
                on_disk.append(sum(path.stat().st_size for path in uploads(api)))
            yield chunk(after, last=True)

        done = await exchange(api.app, "POST", "/v1/files", {**FORM, **auth(tenant)}, slow())
        assert done.status == 200
        assert on_disk[1] > 50_000  # what came before it; the newest chunk may still be on its way
        assert on_disk[2] > 100_000
        assert uploads(api) == []

    async def test_no_file_is_refused(self, tenant: Tenant) -> None:
        answer = await tenant.http.post("/v1/files", content=PURPOSE + END, headers=FORM)
        assert refusal(answer) == (400, "invalid_value", "file")

    async def test_two_files_are_refused_and_neither_is_kept(self, api: Api, tenant: Tenant) -> None:
        body = (PURPOSE + FILE + FILE + END).replace(b"%s", jsonl(10))
        answer = await tenant.http.post("/v1/files", content=body, headers=FORM)
        assert refusal(answer) == (400, "invalid_value", "file")
        assert "two parts" in message(answer)
        assert (await rows(tenant), uploads(api)) == (0, [])

    @pytest.mark.parametrize("purpose", ["assistants", "vision", "fine-tune-results", ""])
    async def test_another_purpose_is_refused_by_name(self, tenant: Tenant, purpose: str) -> None:
        answer = await tenant.send_file(jsonl(10), purpose=purpose)
        assert refusal(answer) == (400, "invalid_value", "purpose")
        assert repr(purpose) in message(answer)

    async def test_a_missing_purpose_is_refused(self, tenant: Tenant) -> None:
        answer = await tenant.http.post("/v1/files", files={"file": ("a.jsonl", jsonl(10))})
        assert refusal(answer) == (400, "invalid_value", "purpose")

    @pytest.mark.parametrize("field", ["expires_after[unit]", "expires_after", "status"])
    async def test_a_field_that_would_have_no_effect_is_refused(self, tenant: Tenant, field: str) -> None:
        answer = await tenant.send_file(jsonl(10), **{field: "x"})
        assert refusal(answer) == (400, "unknown_parameter", field)
        assert await rows(tenant) == 0

    async def test_a_json_body_is_no_upload(self, tenant: Tenant) -> None:
        answer = await tenant.http.post("/v1/files", json={"purpose": "fine-tune", "file": "x"})
        assert refusal(answer) == (400, "invalid_value", "file")
        assert "multipart/form-data" in message(answer)

    async def test_a_client_that_goes_away_leaves_nothing(self, api: Api, tenant: Tenant) -> None:
        before, held = stored(api), (PURPOSE + FILE).split(b"%s")[0]
        messages = [chunk(held), chunk(jsonl(40)), GONE]
        await exchange(api.app, "POST", "/v1/files", {**FORM, **auth(tenant)}, messages)
        assert (await rows(tenant), uploads(api), stored(api)) == (0, [], before)

    async def test_a_broken_off_upload_is_not_taken_for_a_shorter_dataset(self, api: Api, tenant: Tenant) -> None:
        body = (PURPOSE + FILE).replace(b"%s", jsonl(12)).removesuffix(b"\r\n") + b"\n"
        answer = await tenant.http.post("/v1/files", content=body, headers=FORM)
        assert refusal(answer) == (400, "invalid_value", "file")
        assert "closing boundary" in message(answer)
        assert (await rows(tenant), uploads(api)) == (0, [])

    async def test_a_declared_size_over_the_limit_is_refused_unread(self, api: Api, tenant: Tenant) -> None:
        headers = {**FORM, **auth(tenant), "content-length": str(CAP * 2)}
        done = await exchange(api.app, "POST", "/v1/files", headers, [chunk(b"x", last=True)])
        assert (done.status, done.reads) == (413, 0)
        assert json.loads(done.body)["error"]["code"] == "request_too_large"

    async def test_an_undeclared_size_over_the_limit_is_cut_off(self, api: Api, tenant: Tenant) -> None:
        before = (PURPOSE + FILE).split(b"%s")[0]
        messages = [chunk(before), *(chunk(b"x" * 65_536) for _ in range(100)), chunk(END, last=True)]
        done = await exchange(api.app, "POST", "/v1/files", {**FORM, **auth(tenant)}, messages)
        assert done.status == 413
        error = json.loads(done.body)["error"]
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "request_too_large", None)
        assert done.reads < 10
        assert (await rows(tenant), uploads(api)) == (0, [])


class TestBadDataset:
    BAD = jsonl(4) + b'\n{"prompt": "p"}\n{"prompt": "p", "completion": 5}\nnot json\n'

    async def test_it_is_kept_with_every_error_in_its_report(self, tenant: Tenant) -> None:
        file = await tenant.upload(self.BAD, "bad.jsonl")
        assert file["status"] == "error"
        report = file["validation"]
        assert (report["rows"], report["error_count"]) == (4, 3)
        assert [(error["line"], error["path"]) for error in report["errors"]] == [
            (5, "completion"),
            (6, "completion"),
            (7, ""),
        ]
        assert all(error["code"] and error["message"] and error["fix"] for error in report["errors"])
        assert file["status_details"] == report["summary"]
        assert "Line 5" in file["status_details"] and "2 more errors" in file["status_details"]
        again = (await tenant.http.get(f"/v1/files/{file['id']}")).json()
        assert again == file

    @pytest.mark.parametrize("param", ["training_file", "validation_file"])
    async def test_a_job_on_it_is_refused_with_line_and_fix(self, tenant: Tenant, param: str) -> None:
        file = await tenant.upload(self.BAD, "bad.jsonl")
        answer = await tenant.create(**{param: file["id"]})
        assert refusal(answer) == (400, f"invalid_{param}", param)
        first = file["validation"]["errors"][0]
        assert "bad.jsonl" in message(answer)
        assert "Line 5" in message(answer)
        assert first["fix"] in message(answer)


class TestList:
    async def test_pages_follow_each_other_newest_first(self, tenant: Tenant) -> None:
        made = [(await tenant.upload())["id"] for _ in range(5)]
        first = (await tenant.http.get("/v1/files", params={"limit": 2})).json()
        assert first["object"] == "list"
        assert [file["id"] for file in first["data"]] == [made[4], made[3]]
        assert (first["first_id"], first["last_id"], first["has_more"]) == (made[4], made[3], True)
        second = (await tenant.http.get("/v1/files", params={"limit": 2, "after": first["last_id"]})).json()
        assert [file["id"] for file in second["data"]] == [made[2], made[1]]
        last = (await tenant.http.get("/v1/files", params={"limit": 2, "after": second["last_id"]})).json()
        assert ([file["id"] for file in last["data"]], last["has_more"]) == ([made[0]], False)

    async def test_a_page_is_short_whatever_limit_says_and_tells_of_more(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.routes.files.FILES_AT_MOST", 2)
        made = [(await tenant.upload())["id"] for _ in range(3)]
        page = (await tenant.http.get("/v1/files")).json()
        assert ([file["id"] for file in page["data"]], page["has_more"]) == ([made[2], made[1]], True)

    async def test_ascending_order_pages_the_other_way(self, tenant: Tenant) -> None:
        made = [(await tenant.upload())["id"] for _ in range(3)]
        query = {"order": "asc", "limit": "2"}
        assert [f["id"] for f in (await tenant.http.get("/v1/files", params=query)).json()["data"]] == made[:2]
        query["after"] = made[1]
        assert [f["id"] for f in (await tenant.http.get("/v1/files", params=query)).json()["data"]] == made[2:]

    async def test_a_purpose_keeps_its_own(self, tenant: Tenant) -> None:
        await tenant.upload()
        assert len((await tenant.http.get("/v1/files?purpose=fine-tune")).json()["data"]) == 1
        empty = (await tenant.http.get("/v1/files?purpose=fine-tune-results")).json()
        assert empty == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}

    @pytest.mark.parametrize(
        ("query", "param"),
        [("limit=0", "limit"), ("limit=10001", "limit"), ("order=up", "order"), ("after=x", "after")],
    )
    async def test_a_bad_query_is_refused_by_name(self, tenant: Tenant, query: str, param: str) -> None:
        assert refusal(await tenant.http.get(f"/v1/files?{query}")) == (400, "invalid_value", param)


class TestDelete:
    async def test_the_row_and_the_content_are_gone(self, api: Api, tenant: Tenant) -> None:
        before = stored(api)
        file = await tenant.upload()
        assert len(stored(api)) == len(before) + 1
        answer = await tenant.http.delete(f"/v1/files/{file['id']}")
        assert answer.json() == {"id": file["id"], "object": "file", "deleted": True}
        assert stored(api) == before
        for path in ("", "/content"):
            gone = await tenant.http.get(f"/v1/files/{file['id']}{path}")
            assert refusal(gone) == (404, "not_found", "file_id")
        assert refusal(await tenant.http.delete(f"/v1/files/{file['id']}"))[0] == 404

    @pytest.mark.parametrize("param", ["training_file", "validation_file"])
    async def test_a_file_that_a_job_needs_stays(self, tenant: Tenant, param: str) -> None:
        file = await tenant.upload()
        job = await tenant.job(**{param: file["id"]})
        answer = await tenant.http.delete(f"/v1/files/{file['id']}")
        assert refusal(answer) == (409, "file_in_use", None)
        assert answer.headers["x-should-retry"] == "false"
        assert job["id"] in message(answer)
        assert (await tenant.http.get(f"/v1/files/{file['id']}/content")).content == jsonl(12)

    @pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
    async def test_a_job_that_has_ended_needs_no_file(self, tenant: Tenant, status: JobStatus) -> None:
        job = await tenant.job()
        await tenant.end(job["id"], status)
        assert (await tenant.http.delete(f"/v1/files/{job['training_file']}")).json()["deleted"]


async def test_content_that_storage_has_lost_is_404_and_no_empty_answer(api: Api, tenant: Tenant) -> None:
    file = await tenant.upload()
    await api.app.state.storage.delete(f"files/{tenant.project.id}/{file['id']}")
    answer = await tenant.http.get(f"/v1/files/{file['id']}/content")
    assert refusal(answer) == (404, "content_missing", None)

"""A full quota is a 429 that names it, and that the SDK does not run against."""

from pathlib import Path
from typing import Any

import openai
import pytest

from fettle.settings import Settings
from fettle.tenancy import quotas
from models import Job, JobStatus
from tests.api.asgi import chunk, exchange
from tests.api.served import Wire, served
from tests.api.tenants import Tenant, jsonl, message, refusal

DATA = jsonl(12)


def headers(answer: Any) -> tuple[str, str]:
    return answer.headers["x-should-retry"], answer.headers["retry-after"]


async def test_a_response_that_would_be_stored_is_refused_before_an_engine_is_asked(tenant: Tenant) -> None:
    await tenant.quota(bytes=0)
    asked = {"model": "starter", "input": "2 + 2 ="}
    assert refusal(await tenant.http.post("/v1/responses", json=asked)) == (429, "quota_exceeded", None)
    unstored = await tenant.http.post("/v1/responses", json={**asked, "store": False})
    assert refusal(unstored)[0] == 503  # no engine is here


class TestQueuedJobs:
    async def test_the_sentence_names_the_quota_its_use_and_the_way_out(self, tenant: Tenant) -> None:
        await tenant.quota(queued_jobs=2)
        await tenant.job()
        await tenant.job()
        answer = await tenant.create()
        assert refusal(answer) == (429, "quota_exceeded", None)
        assert answer.json()["error"]["type"] == "insufficient_quota"
        assert headers(answer) == ("false", "60")
        said = message(answer)
        assert f"{tenant.project.name!r} has 2 queued or paused jobs of the 2 that its quota 'queued_jobs'" in said
        assert f"cancel one, or ask the operator for more (`fettle projects quota {tenant.project.name}" in said

    async def test_a_cancelled_job_makes_room(self, tenant: Tenant) -> None:
        await tenant.quota(queued_jobs=1)
        job = await tenant.job()
        assert (await tenant.create()).status_code == 429
        await tenant.http.post(f"/v1/fine_tuning/jobs/{job['id']}/cancel")
        assert (await tenant.create()).status_code == 200

    async def test_pausing_makes_none(self, tenant: Tenant) -> None:
        await tenant.quota(queued_jobs=1)
        await tenant.end((await tenant.job())["id"], JobStatus.PAUSED)
        assert (await tenant.create()).status_code == 429

    async def test_a_repeated_request_finds_its_job_where_a_new_one_is_refused(self, tenant: Tenant) -> None:
        await tenant.quota(queued_jobs=1)
        file = (await tenant.upload())["id"]
        first = await tenant.create({"Idempotency-Key": "one"}, training_file=file)
        again = await tenant.create({"Idempotency-Key": "one"}, training_file=file)
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
        assert (await tenant.create({"Idempotency-Key": "two"}, training_file=file)).status_code == 429

    async def test_another_project_has_its_own(self, tenant: Tenant, other: Tenant) -> None:
        await tenant.quota(queued_jobs=0)
        assert (await tenant.create()).status_code == 429
        assert (await other.create()).status_code == 200

    @pytest.mark.slow
    async def test_the_sdk_does_not_ask_again(self, tenant: Tenant) -> None:
        await tenant.quota(queued_jobs=0)
        file = (await tenant.upload())["id"]
        wire = Wire(tenant.api.app)
        key = tenant.http.headers["authorization"].removeprefix("Bearer ")
        full = pytest.raises(openai.RateLimitError, match="queued_jobs")
        with served(wire) as url, openai.OpenAI(api_key=key, base_url=f"{url}/v1") as client, full as refused:
            client.fine_tuning.jobs.create(model="starter", training_file=file)
        assert refused.value.code == "quota_exceeded"
        assert wire.requests["POST /v1/fine_tuning/jobs"] == 1


class TestFiles:
    async def test_one_too_many_is_refused_and_leaves_nothing(self, tenant: Tenant) -> None:
        await tenant.quota(files=1)
        file = await tenant.upload()
        answer = await tenant.send_file(DATA)
        assert refusal(answer) == (429, "quota_exceeded", None)
        assert headers(answer) == ("false", "3600")
        assert "has 1 files of the 1" in message(answer) and "delete some" in message(answer)
        assert await tenant.storage.list(f"files/{tenant.project.id}") == [f"files/{tenant.project.id}/{file['id']}"]
        await tenant.http.delete(f"/v1/files/{file['id']}")
        await tenant.upload()

    async def test_bytes_count_to_the_last(self, tenant: Tenant) -> None:
        await tenant.quota(bytes=2 * len(DATA) - 1)
        await tenant.upload(DATA)
        answer = await tenant.send_file(DATA)
        assert refusal(answer) == (429, "quota_exceeded", None)
        assert f"and this would add {len(DATA)}" in message(answer)
        assert len(await tenant.storage.list(f"files/{tenant.project.id}")) == 1
        await tenant.quota(bytes=2 * len(DATA))
        await tenant.upload(DATA)

    async def test_an_upload_that_cannot_fit_is_not_read(self, tenant: Tenant) -> None:
        await tenant.quota(bytes=1 << 20)
        sent = {
            "authorization": tenant.http.headers["authorization"],
            "content-type": "multipart/form-data; boundary=b",
            "content-length": str(2 << 20),
        }
        done = await exchange(tenant.api.app, "POST", "/v1/files", sent, [chunk(b"x" * 1000)] * 1000)
        assert (done.status, done.reads, done.headers["connection"]) == (429, 0, "close")


class TestTokens:
    async def test_what_was_trained_within_30_days_counts(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await tenant.quota(tokens=1000)
        now = 2_000_000_000.0
        day = 24 * 3600
        monkeypatch.setattr(quotas.time, "time", lambda: now)
        for days, tokens in ((31, 5000), (29, 600), (1, 399)):
            job_id = (await tenant.job())["id"]
            async with tenant.db.transaction() as session:
                job = await session.get_one(Job, job_id)
                job.status, job.finished_at, job.trained_tokens = JobStatus.SUCCEEDED, now - days * day, tokens
        job_id = (await tenant.job())["id"]  # 999 of 1000
        async with tenant.db.transaction() as session:
            job = await session.get_one(Job, job_id)
            job.status, job.finished_at, job.trained_tokens = JobStatus.SUCCEEDED, now, 1
        answer = await tenant.create()
        assert refusal(answer) == (429, "quota_exceeded", None)
        assert headers(answer) == ("false", str(day))  # the job of 29 days ago leaves the window tomorrow
        assert "has 1,000 tokens trained within 30 days of the 1,000" in message(answer)


class TestDefaults:
    def test_nothing_but_high_priority_is_limited_unless_the_operator_says_so(self) -> None:
        assert quotas.defaults(Settings()) == {**dict.fromkeys(quotas.QUOTAS), "high_priority_jobs": 1}

    def test_every_quota_has_its_setting(self, tmp_path: Path) -> None:
        given = {f"quota_{name}": number for number, name in enumerate(quotas.QUOTAS)}
        assert list(quotas.defaults(Settings(data=tmp_path, **given)).values()) == list(range(len(quotas.QUOTAS)))

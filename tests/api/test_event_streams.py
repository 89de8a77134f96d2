"""Server-sent events of a job: resumed after an id, kept alive, ended with the job."""

import asyncio
from typing import Any

import orjson
import pytest

from api.routes import jobs as route
from models import JobStatus
from tests.api.tenants import Tenant, refusal

JOBS = "/v1/fine_tuning/jobs"


def told(stream: str) -> list[Any]:
    """The events' messages, and what stands in the place of one."""
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else orjson.loads(line)["message"] for line in lines]


async def ended(tenant: Tenant, messages: int) -> str:
    """The id of a job with so many events beside its first."""
    job = await tenant.job()
    for number in range(messages):
        await tenant.log(job["id"], f"Step {number}")
    await tenant.end(job["id"], JobStatus.FAILED)
    return str(job["id"])


class TestResumed:
    async def test_it_goes_on_after_the_last_event_that_the_client_has_seen(self, tenant: Tenant) -> None:
        job_id = await ended(tenant, 3)
        page = (await tenant.http.get(f"{JOBS}/{job_id}/events")).json()["data"]
        seen = page[2]
        assert seen["message"] == "Step 0"
        answer = await tenant.http.get(f"{JOBS}/{job_id}/events?stream=true", headers={"Last-Event-ID": seen["id"]})
        assert told(answer.text) == ["Step 1", "Step 2", "[DONE]"]

    async def test_every_event_carries_the_id_to_resume_from(self, tenant: Tenant) -> None:
        job_id = await ended(tenant, 2)
        page = (await tenant.http.get(f"{JOBS}/{job_id}/events")).json()["data"]
        answer = await tenant.http.get(f"{JOBS}/{job_id}/events?stream=true")
        ids = [line.removeprefix("id: ") for line in answer.text.splitlines() if line.startswith("id: ")]
        assert ids == [event["id"] for event in reversed(page)]

    async def test_after_the_last_event_of_an_ended_job_there_is_nothing_but_the_end(self, tenant: Tenant) -> None:
        job_id = await ended(tenant, 1)
        last = (await tenant.http.get(f"{JOBS}/{job_id}/events")).json()["last_id"]
        newest = (await tenant.http.get(f"{JOBS}/{job_id}/events?limit=1")).json()["data"][0]["id"]
        assert last != newest
        answer = await tenant.http.get(f"{JOBS}/{job_id}/events?stream=true", headers={"Last-Event-ID": newest})
        assert told(answer.text) == ["[DONE]"]

    async def test_an_id_of_another_job_is_refused(self, tenant: Tenant) -> None:
        one, two = await ended(tenant, 0), await ended(tenant, 0)
        theirs = (await tenant.http.get(f"{JOBS}/{two}/events")).json()["data"][0]["id"]
        for wrong in (theirs, "ftevent-none"):
            answer = await tenant.http.get(f"{JOBS}/{one}/events?stream=true", headers={"Last-Event-ID": wrong})
            assert refusal(answer) == (400, "invalid_value", "last-event-id")

    @pytest.mark.parametrize("query", ["after=ftevent-x", "limit=5"])
    async def test_what_belongs_to_pages_is_refused(self, tenant: Tenant, query: str) -> None:
        job_id = await ended(tenant, 0)
        answer = await tenant.http.get(f"{JOBS}/{job_id}/events?stream=true&{query}")
        assert refusal(answer) == (400, "invalid_value", query.partition("=")[0])


async def test_a_stream_with_nothing_to_tell_is_kept_alive_by_comments(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "KEEPALIVE_SECONDS", 0.05)
    job = await tenant.job()

    async def end_later() -> None:
        await asyncio.sleep(1)
        await tenant.http.post(f"{JOBS}/{job['id']}/cancel")

    answer, _ = await asyncio.gather(tenant.http.get(f"{JOBS}/{job['id']}/events?stream=true"), end_later())
    comments = [line for line in answer.text.splitlines() if line.startswith(": ping")]
    assert comments
    assert told(answer.text)[-2:] == ["Fine-tuning job cancelled", "[DONE]"]

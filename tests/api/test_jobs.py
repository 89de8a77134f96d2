"""What can be asked of fine-tuning jobs once they exist."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest

from fettle.jobs import events
from models import JobStatus
from tests.api.tenants import Tenant, message, refusal

JOBS = "/v1/fine_tuning/jobs"


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["data"]]


def sent(stream: str) -> list[Any]:
    """The data of server-sent events."""
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else orjson.loads(line) for line in lines]


class TestList:
    async def test_pages_follow_each_other_newest_first(self, tenant: Tenant) -> None:
        made = [(await tenant.job())["id"] for _ in range(3)]
        first = (await tenant.http.get(JOBS, params={"limit": 2})).json()
        assert [job["id"] for job in first["data"]] == [made[2], made[1]]
        assert (first["object"], first["has_more"], first["last_id"]) == ("list", True, made[1])
        second = (await tenant.http.get(JOBS, params={"limit": 2, "after": made[1]})).json()
        assert ([job["id"] for job in second["data"]], second["has_more"]) == ([made[0]], False)

    async def test_metadata_keeps_the_jobs_that_have_all_of_it(self, tenant: Tenant) -> None:
        both = await tenant.job(metadata={"team": "blue", "run": "1"})
        one = await tenant.job(metadata={"team": "blue"})
        await tenant.job(metadata={"team": "red", "run": "1"})
        await tenant.job()
        assert ids(await tenant.http.get(JOBS, params={"metadata[team]": "blue"})) == [one["id"], both["id"]]
        assert ids(await tenant.http.get(JOBS, params={"metadata[team]": "blue", "metadata[run]": "1"})) == [both["id"]]
        assert ids(await tenant.http.get(JOBS, params={"metadata[team]": "green"})) == []

    async def test_an_empty_value_is_a_value(self, tenant: Tenant) -> None:
        empty = await tenant.job(metadata={"team": ""})
        await tenant.job(metadata={"team": "blue"})
        await tenant.job()
        assert ids(await tenant.http.get(f"{JOBS}?metadata[team]=")) == [empty["id"]]

    async def test_null_keeps_the_jobs_without_any(self, tenant: Tenant) -> None:
        bare = [await tenant.job(), await tenant.job(metadata=None)]
        await tenant.job(metadata={"team": "blue"})
        assert ids(await tenant.http.get(f"{JOBS}?metadata=null")) == [job["id"] for job in reversed(bare)]

    async def test_metadata_pages_too(self, tenant: Tenant) -> None:
        made = [(await tenant.job(metadata={"team": "blue"}))["id"] for _ in range(2)]
        query = {"metadata[team]": "blue", "limit": "1"}
        assert ids(await tenant.http.get(JOBS, params=query)) == [made[1]]
        assert ids(await tenant.http.get(JOBS, params={**query, "after": made[1]})) == [made[0]]

    @pytest.mark.parametrize(
        ("query", "code", "param"),
        [
            ("limit=0", "invalid_value", "limit"),
            ("limit=101", "invalid_value", "limit"),
            ("after=ftjob-none", "invalid_value", "after"),
            ("status=running", "unknown_parameter", "status"),
            ("limit[a]=1", "unknown_parameter", "limit[a]"),
            ("metadata=blue", "invalid_value", "metadata"),
            ("limit=1&limit=2", "invalid_value", "limit"),
        ],
    )
    async def test_a_bad_query_is_refused_by_name(self, tenant: Tenant, query: str, code: str, param: str) -> None:
        assert refusal(await tenant.http.get(f"{JOBS}?{query}")) == (400, code, param)


class TestRetrieve:
    async def test_it_is_the_object_that_create_answered_with(self, tenant: Tenant) -> None:
        job = await tenant.job(suffix="s", metadata={"a": "b"})
        assert (await tenant.http.get(f"{JOBS}/{job['id']}")).json() == job

    async def test_an_unknown_id_is_404(self, tenant: Tenant) -> None:
        answer = await tenant.http.get(f"{JOBS}/ftjob-none")
        assert refusal(answer) == (404, "not_found", "fine_tuning_job_id")
        assert "'ftjob-none'" in message(answer)


class TestCancel:
    @pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
    async def test_it_is_terminal_at_once(self, tenant: Tenant, status: JobStatus) -> None:
        job = await tenant.job()
        await tenant.end(job["id"], status)
        cancelled = (await tenant.http.post(f"{JOBS}/{job['id']}/cancel")).json()
        assert (cancelled["id"], cancelled["status"]) == (job["id"], "cancelled")
        assert cancelled["finished_at"] >= cancelled["created_at"]
        assert (await tenant.http.get(f"{JOBS}/{job['id']}")).json() == cancelled

    async def test_twice_is_a_conflict_that_no_retry_mends(self, tenant: Tenant) -> None:
        job = await tenant.job()
        await tenant.http.post(f"{JOBS}/{job['id']}/cancel")
        answer = await tenant.http.post(f"{JOBS}/{job['id']}/cancel")
        assert refusal(answer) == (409, "job_not_active", None)
        assert answer.headers["x-should-retry"] == "false"
        assert "already cancelled" in message(answer)
        history = (await tenant.http.get(f"{JOBS}/{job['id']}/events")).json()["data"]
        assert [event["message"] for event in history].count("Fine-tuning job cancelled") == 1

    @pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED])
    async def test_a_job_that_has_ended_cannot_be_cancelled(self, tenant: Tenant, status: JobStatus) -> None:
        job = await tenant.job()
        await tenant.end(job["id"], status)
        answer = await tenant.http.post(f"{JOBS}/{job['id']}/cancel")
        assert refusal(answer)[:2] == (409, "job_not_active")
        assert f"already {status}" in message(answer)
        assert (await tenant.http.get(f"{JOBS}/{job['id']}")).json()["status"] == status


class TestEvents:
    async def test_pages_follow_each_other_newest_first(self, tenant: Tenant) -> None:
        job = await tenant.job()
        await tenant.log(job["id"], "careful", level="warn")
        await tenant.log(job["id"], "Step 1/2", type="metrics", data={"step": 1, "train_loss": 2.5})
        url = f"{JOBS}/{job['id']}/events"
        page = (await tenant.http.get(url, params={"limit": 2})).json()
        assert page["has_more"]
        metrics, warning = page["data"]
        assert set(metrics) == {"id", "object", "created_at", "level", "type", "message", "data"}
        assert (metrics["object"], metrics["type"]) == ("fine_tuning.job.event", "metrics")
        assert metrics["data"] == {"step": 1, "train_loss": 2.5}
        assert (warning["level"], warning["type"], warning["data"]) == ("warn", "message", None)
        rest = (await tenant.http.get(url, params={"after": warning["id"]})).json()
        assert [event["message"] for event in rest["data"]] == [f"Created fine-tuning job: {job['id']}"]
        assert not rest["has_more"]

    async def test_another_jobs_event_is_no_cursor(self, tenant: Tenant) -> None:
        one, two = await tenant.job(), await tenant.job()
        (event,) = (await tenant.http.get(f"{JOBS}/{one['id']}/events")).json()["data"]
        answer = await tenant.http.get(f"{JOBS}/{two['id']}/events", params={"after": event["id"]})
        assert refusal(answer) == (400, "invalid_value", "after")

    async def test_a_stream_tells_all_from_the_first_until_the_job_ends(self, tenant: Tenant) -> None:
        job = await tenant.job()
        url = f"{JOBS}/{job['id']}"

        async def live() -> None:
            for step in (1, 2):
                await asyncio.sleep(0.05)
                await tenant.log(job["id"], f"Step {step}/2", type="metrics", data={"step": step})
            await asyncio.sleep(0.05)
            await tenant.http.post(f"{url}/cancel")

        stream, _ = await asyncio.gather(tenant.http.get(f"{url}/events?stream=true"), live())
        assert stream.headers["content-type"].startswith("text/event-stream")
        *told, done = sent(stream.text)
        assert done == "[DONE]"
        assert [event["message"] for event in told] == [
            f"Created fine-tuning job: {job['id']}",
            "Step 1/2",
            "Step 2/2",
            "Fine-tuning job cancelled",
        ]
        page = (await tenant.http.get(f"{url}/events")).json()["data"]
        assert told == list(reversed(page))

    async def test_the_stream_of_a_job_that_has_ended_ends_at_once(self, tenant: Tenant) -> None:
        job = await tenant.job()
        await tenant.http.post(f"{JOBS}/{job['id']}/cancel")
        assert len(sent((await tenant.http.get(f"{JOBS}/{job['id']}/events?stream=true")).text)) == 3

    async def test_a_history_longer_than_a_read_is_told_whole(self, tenant: Tenant) -> None:
        job = await tenant.job()
        async with tenant.db.transaction() as session:
            for step in range(501):
                events.add(session, job["id"], str(step))
        await tenant.end(job["id"], JobStatus.FAILED)
        told = sent((await tenant.http.get(f"{JOBS}/{job['id']}/events?stream=true")).text)
        assert [event["message"] for event in told[1:-1]] == [str(step) for step in range(501)]


class TestCheckpoints:
    async def test_pages_follow_each_other_last_step_first(self, tenant: Tenant) -> None:
        job = await tenant.job()
        names = [await tenant.checkpoint(job["id"], step, valid_loss=1 / step) for step in (8, 16, 24)]
        page = (await tenant.http.get(f"{JOBS}/{job['id']}/checkpoints", params={"limit": 2})).json()
        assert page["has_more"]
        assert [item["step_number"] for item in page["data"]] == [24, 16]
        last = page["data"][0]
        assert last.pop("id").startswith("ftckpt_")
        assert isinstance(last.pop("created_at"), int)
        assert last == {
            "object": "fine_tuning.job.checkpoint",
            "fine_tuned_model_checkpoint": names[2],
            "fine_tuning_job_id": job["id"],
            "metrics": {
                "step": 24,
                "train_loss": None,
                "train_mean_token_accuracy": None,
                "valid_loss": 1 / 24,
                "valid_mean_token_accuracy": None,
                "full_valid_loss": 1 / 24,  # validation is over the whole file
                "full_valid_mean_token_accuracy": None,
            },
            "step_number": 24,
        }
        rest = await tenant.http.get(f"{JOBS}/{job['id']}/checkpoints", params={"after": page["last_id"]})
        assert [item["step_number"] for item in rest.json()["data"]] == [8]

    async def test_a_job_without_any_has_an_empty_list(self, tenant: Tenant) -> None:
        job = await tenant.job()
        assert (await tenant.http.get(f"{JOBS}/{job['id']}/checkpoints")).json()["data"] == []

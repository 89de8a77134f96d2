import pytest

from models import JobStatus
from tests.api.tenants import Tenant, message, refusal

JOBS = "/v1/fine_tuning/jobs"


async def move(tenant: Tenant, job_id: str, name: str, **headers: str):  # type: ignore[no-untyped-def]
    return await tenant.http.post(f"{JOBS}/{job_id}/{name}", headers=headers)


class TestPause:
    async def test_a_waiting_job_is_shown_as_paused_and_resumed_as_queued(self, tenant: Tenant) -> None:
        job = await tenant.job()
        paused = (await move(tenant, job["id"], "pause")).json()
        assert paused == job | {"status": "paused", "waiting": None}
        assert (await tenant.http.get(f"{JOBS}/{job['id']}")).json() == paused
        resumed = (await move(tenant, job["id"], "resume")).json()
        assert resumed | {"waiting": None} == job | {"waiting": None}

    async def test_a_running_job_shows_that_a_pause_is_on_its_way(self, tenant: Tenant) -> None:
        job = await tenant.job()
        await tenant.end(job["id"], JobStatus.RUNNING)
        asked = (await move(tenant, job["id"], "pause")).json()
        assert asked["status"] == "running"
        assert asked["pause_requested_at"] >= job["created_at"]
        assert (await move(tenant, job["id"], "pause")).json() == asked
        assert (await move(tenant, job["id"], "resume")).json()["pause_requested_at"] is None

    @pytest.mark.parametrize("name", ["pause", "resume"])
    async def test_what_has_ended_is_a_conflict_that_no_retry_mends(self, tenant: Tenant, name: str) -> None:
        job = await tenant.job()
        await tenant.end(job["id"], JobStatus.SUCCEEDED)
        answer = await move(tenant, job["id"], name)
        assert refusal(answer) == (409, "job_not_active", None)
        assert answer.headers["x-should-retry"] == "false"
        assert f"already succeeded. It cannot be {name}d" in message(answer)

    async def test_a_resume_of_what_was_not_paused_is_refused_but_its_repetition_by_the_sdk_is_not(
        self, tenant: Tenant
    ) -> None:
        job = await tenant.job()
        assert refusal(await move(tenant, job["id"], "resume")) == (409, "job_not_paused", None)
        await move(tenant, job["id"], "pause")
        await move(tenant, job["id"], "resume")  # the answer to this was lost, say
        again = await move(tenant, job["id"], "resume", **{"x-stainless-retry-count": "1"})
        assert (again.status_code, again.json()["status"]) == (200, "queued")

    async def test_a_paused_job_can_be_cancelled(self, tenant: Tenant) -> None:
        job = await tenant.job()
        await move(tenant, job["id"], "pause")
        assert (await move(tenant, job["id"], "cancel")).json()["status"] == "cancelled"

    async def test_a_paused_job_keeps_its_dataset(self, tenant: Tenant) -> None:
        job = await tenant.job()
        await move(tenant, job["id"], "pause")
        answer = await tenant.http.delete(f"/v1/files/{job['training_file']}")
        assert refusal(answer)[:2] == (409, "file_in_use")

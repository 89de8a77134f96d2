import pytest

from models import Job, JobStatus
from tests.api.tenants import Tenant


@pytest.mark.parametrize("status", JobStatus)
async def test_only_a_running_job_has_an_estimated_finish(tenant: Tenant, status: JobStatus) -> None:
    job = await tenant.job()
    await tenant.end(job["id"], status)
    async with tenant.db.transaction() as session:
        (await session.get_one(Job, job["id"])).estimated_finish = 2e9
    shown = (await tenant.http.get(f"/v1/fine_tuning/jobs/{job['id']}")).json()["estimated_finish"]
    assert shown == (2_000_000_000 if status == JobStatus.RUNNING else None)

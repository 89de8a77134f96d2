"""Every change leaves an entry that says who made it, and reading leaves none."""

from typing import Any

from tests.api.tenants import Tenant

JOBS = "/v1/fine_tuning/jobs"


async def entries(tenant: Tenant, **query: Any) -> list[dict[str, Any]]:
    """Of the tenant's project, newest first."""
    async with await tenant.key("admin") as http:
        answer = await http.get("/v1/audit_logs", params={"project_id": tenant.project.id, **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_a_change_says_who_made_it_to_what_and_from_where(tenant: Tenant) -> None:
    job = await tenant.job()
    answer = await tenant.http.post(f"{JOBS}/{job['id']}/cancel", headers={"user-agent": "a test"})
    newest, created, *_ = await entries(tenant)
    assert (newest["type"], newest["jobs.cancel"]) == ("jobs.cancel", {"id": job["id"]})
    assert newest["object"] == "organization.audit_log"
    assert newest["actor"]["type"] == "api_key"
    assert newest["actor"]["api_key"]["id"].startswith("key_")
    assert newest["project"] == {"id": tenant.project.id}
    assert (newest["request"], newest["user_agent"]) == (f"POST {JOBS}/{job['id']}/cancel", "a test")
    assert newest["request_id"] == answer.headers["x-request-id"]
    assert newest["ip_address"]
    assert (created["type"], created["jobs.create"]) == ("jobs.create", {"id": job["id"]})


async def test_reading_asking_and_refusals_leave_nothing(tenant: Tenant) -> None:
    file = await tenant.upload()
    before = await entries(tenant)
    body = {"model": "starter", "training_file": file["id"]}
    assert (await tenant.http.post("/v1/fine_tuning/estimate", json=body)).status_code == 200
    assert (await tenant.http.get(JOBS)).status_code == 200
    assert (await tenant.http.post(f"{JOBS}/ftjob-none/cancel")).status_code == 404
    assert await entries(tenant) == before


async def test_it_pages_and_filters(tenant: Tenant) -> None:
    file = await tenant.upload()
    await tenant.http.delete(f"/v1/files/{file['id']}")
    assert [each["type"] for each in await entries(tenant, resource_id=file["id"])] == ["files.delete", "files.create"]
    (first,) = await entries(tenant, resource_id=file["id"], limit=1)
    (second,) = await entries(tenant, resource_id=file["id"], limit=1, after=first["id"])
    assert (first["type"], second["type"]) == ("files.delete", "files.create")
    assert await entries(tenant, type="projects.create", since=1) == []


async def test_only_an_admin_reads_it(tenant: Tenant) -> None:
    refused = await tenant.http.get("/v1/audit_logs")
    assert refused.status_code == 403

"""Every change leaves an entry that says who made it, and reading leaves none."""

from typing import Any

import pytest

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


async def test_what_is_made_is_named(tenant: Tenant) -> None:
    made = {"files.create": (await tenant.upload())["id"], "evals.create": (await tenant.eval())["id"]}
    key = {"name": "second"}
    begun = {"filename": "rows.jsonl", "purpose": "fine-tune", "bytes": 9, "mime_type": "text/jsonl"}
    hook = {"name": "ours", "url": "https://example.com/hook", "event_types": ["batch.completed"]}
    asked = (("/v1/api_keys", key), ("/v1/uploads", begun), ("/v1/webhook_endpoints", hook))
    for path, body in asked:
        answer = await tenant.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        made[f"{path.rpartition('/')[2].replace('webhook_endpoints', 'webhooks')}.create"] = answer.json()["id"]
    found = {each["type"]: each[each["type"]]["id"] for each in await entries(tenant)}
    assert {name: found[name] for name in made} == made


async def test_a_change_that_was_committed_has_its_entry_though_the_process_dies_at_once(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(job_id: str) -> None:
        raise KeyError("killed")

    file = await tenant.upload()
    monkeypatch.setattr(tenant.api.app.state.doorbell, "ring", die)
    answer = await tenant.http.post(JOBS, json={"model": "starter", "training_file": file["id"]})
    assert answer.status_code == 500
    (job,) = (await tenant.http.get(JOBS)).json()["data"]
    (newest,) = await entries(tenant, type="jobs.create")
    assert newest["jobs.create"] == {"id": job["id"]}


async def test_a_change_that_was_rolled_back_has_no_entry_and_without_an_entry_there_is_no_change(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await tenant.upload()
    body = {"model": "starter", "training_file": file["id"]}

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("no room")

    for part in ("api.routes.jobs.job_object", "api.audit.audit.add"):
        with monkeypatch.context() as breaking:
            breaking.setattr(part, broken)
            assert (await tenant.http.post(JOBS, json=body)).status_code == 500
        assert (await tenant.http.get(JOBS)).json()["data"] == []
        assert await entries(tenant, type="jobs.create") == []

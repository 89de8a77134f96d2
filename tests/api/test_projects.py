from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from fettle.tenancy.quotas import QUOTAS
from models import Base, Batch, BatchStatus, JobStatus
from tests.api.tenants import Tenant, jsonl, message, refusal
from tests.api.test_tenancy import things

PROJECTS = "/v1/projects"
DEFAULTS = {**dict.fromkeys(QUOTAS), "high_priority_jobs": 1}


@pytest.fixture
async def operator(tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with await tenant.key("all", "admin") as http:
        yield http


async def make(operator: httpx.AsyncClient, tenant: Tenant, suffix: str = "x", **body: Any) -> Any:
    answer = await operator.post(PROJECTS, json={"name": f"{tenant.project.name}-{suffix}", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestCreate:
    async def test_a_project_has_a_name_and_the_defaults(self, operator: httpx.AsyncClient, tenant: Tenant) -> None:
        made = await make(operator, tenant)
        assert made == {
            "id": made["id"],
            "object": "project",
            "name": f"{tenant.project.name}-x",
            "created_at": made["created_at"],
            "quotas": DEFAULTS,
            "stores_completions": False,
        }

    async def test_with_quotas_of_its_own(self, operator: httpx.AsyncClient, tenant: Tenant) -> None:
        made = await make(operator, tenant, quotas={"queued_jobs": 5, "files": 0})
        assert (made["quotas"]["queued_jobs"], made["quotas"]["files"], made["quotas"]["bytes"]) == (5, 0, None)

    async def test_a_taken_name_is_409(self, operator: httpx.AsyncClient, tenant: Tenant) -> None:
        answer = await operator.post(PROJECTS, json={"name": tenant.project.name})
        assert refusal(answer) == (409, "project_exists", "name")
        assert answer.headers["x-should-retry"] == "false"

    @pytest.mark.parametrize("name", ["Blue", "a:b", "", "a" * 41])
    async def test_a_bad_name_is_400(self, operator: httpx.AsyncClient, name: str) -> None:
        answer = await operator.post(PROJECTS, json={"name": name})
        assert refusal(answer) == (400, "invalid_value", "name")
        assert repr(name) in message(answer)

    @pytest.mark.parametrize(
        ("quotas", "code", "param"),
        [
            ({"queued_jobs": -1}, "invalid_value", "quotas.queued_jobs"),
            ({"queued_jobs": "many"}, "invalid_value", "quotas.queued_jobs"),
            ({"queued_jobs": True}, "invalid_value", "quotas.queued_jobs"),
            ({"bytes": 1.5}, "invalid_value", "quotas.bytes"),
            ({"gpus": 1}, "unknown_parameter", "quotas.gpus"),
        ],
    )
    async def test_a_bad_quota_is_400(self, operator: httpx.AsyncClient, quotas: Any, code: str, param: str) -> None:
        answer = await operator.post(PROJECTS, json={"name": "good-name", "quotas": quotas})
        assert refusal(answer) == (400, code, param)


class TestRetrieve:
    async def test_a_tenant_sees_what_its_own_project_uses(self, tenant: Tenant) -> None:
        job = await tenant.job()
        shown = (await tenant.http.get(f"{PROJECTS}/{tenant.project.id}")).json()
        assert job["status"] == "queued"
        assert shown["usage"] == {**dict.fromkeys(QUOTAS, 0), "files": 1, "bytes": len(jsonl(12)), "queued_jobs": 1}

    async def test_an_operator_sees_every_project(
        self, operator: httpx.AsyncClient, tenant: Tenant, other: Tenant
    ) -> None:
        assert (await operator.get(f"{PROJECTS}/{other.project.id}")).json()["name"] == other.project.name
        assert refusal(await operator.get(f"{PROJECTS}/proj_nobody"))[:2] == (404, "not_found")

    async def test_the_list_is_every_project_for_an_operator_and_its_own_for_a_tenant(
        self, operator: httpx.AsyncClient, tenant: Tenant, other: Tenant
    ) -> None:
        everyone = (await operator.get(PROJECTS, params={"limit": 100})).json()["data"]
        assert {tenant.project.id, other.project.id} <= {project["id"] for project in everyone}
        own = (await tenant.http.get(PROJECTS)).json()["data"]
        assert [project["id"] for project in own] == [tenant.project.id]


class TestChange:
    async def test_what_is_not_named_stays(self, operator: httpx.AsyncClient, tenant: Tenant) -> None:
        made = await make(operator, tenant, quotas={"queued_jobs": 5, "bytes": 100})
        path = f"{PROJECTS}/{made['id']}"
        changed = (await operator.post(path, json={"quotas": {"bytes": None, "tokens": 7}})).json()
        assert changed["quotas"] == {**DEFAULTS, "queued_jobs": 5, "bytes": None, "tokens": 7}
        back = (await operator.post(path, json={"quotas": {"queued_jobs": "default"}})).json()
        assert back["quotas"]["queued_jobs"] is None
        assert back["name"] == made["name"]

    async def test_a_new_name(self, operator: httpx.AsyncClient, tenant: Tenant) -> None:
        made = await make(operator, tenant)
        path = f"{PROJECTS}/{made['id']}"
        assert (await operator.post(path, json={"name": f"{made['name']}-2"})).json()["name"] == f"{made['name']}-2"
        assert refusal(await operator.post(path, json={"name": tenant.project.name}))[:2] == (409, "project_exists")
        assert (await operator.post(path, json={"name": f"{made['name']}-2"})).status_code == 200


class TestDelete:
    async def counts(self, tenant: Tenant) -> dict[str, int]:
        """Rows of every table but the audit log, which outlives what it tells of."""
        async with tenant.db.snapshot() as session:
            tables = [table for table in Base.metadata.sorted_tables if table.name != "audit_logs"]
            return {table.name: await session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}

    async def test_all_that_is_its_goes_and_nothing_of_others(
        self, operator: httpx.AsyncClient, tenant: Tenant, other: Tenant, tmp_path: Path
    ) -> None:
        mine = await things(tenant, tmp_path)
        before = await self.counts(tenant)
        theirs = await things(other, tmp_path)
        refused = await operator.delete(f"{PROJECTS}/{other.project.id}")
        assert f"The batch {theirs['batch_id']!r}" in message(refused)
        async with other.db.transaction() as session:
            (await session.get_one(Batch, theirs["batch_id"])).status = BatchStatus.CANCELLED
        folders = [f"files/{other.project.id}", f"jobs/{theirs['job_id']}", f"uploads/{other.project.id}"]
        assert await tenant.storage.sizes(folders[0])
        assert await tenant.storage.sizes(folders[1])
        deleted = await operator.delete(f"{PROJECTS}/{other.project.id}")
        assert deleted.json() == {"id": other.project.id, "object": "project", "deleted": True}
        left = await self.counts(tenant)
        assert left == {**before, "projects": before["projects"] - 1, "api_keys": before["api_keys"] - 1}
        assert [await tenant.storage.sizes(folder) for folder in folders] == [{}, {}, {}]
        assert refusal(await other.http.get("/v1/files"))[0] == 401
        assert (await tenant.http.get(f"/v1/files/{mine['file_id']}/content")).status_code == 200

    async def test_not_while_it_works_or_under_the_feet_of_its_own_key(
        self, operator: httpx.AsyncClient, tenant: Tenant, other: Tenant
    ) -> None:
        made = await other.job()
        refused = await operator.delete(f"{PROJECTS}/{other.project.id}")
        assert refusal(refused)[:2] == (409, "project_in_use")
        assert f"The job {made['id']!r}" in message(refused)
        await other.end(made["id"], JobStatus.CANCELLED)
        assert (await operator.delete(f"{PROJECTS}/{other.project.id}")).status_code == 200
        assert refusal(await operator.delete(f"{PROJECTS}/{tenant.project.id}"))[:2] == (409, "own_project")

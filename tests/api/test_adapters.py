"""Adapters that were made elsewhere, over HTTP: whose they are, what they cost, and what becomes of them."""

import io
import zipfile
from typing import Any

from fettle.tenancy import quotas
from models import TunedModel
from tests.api.tenants import Tenant
from tests.fettle.registry.test_adapter_upload import adapter, zipped

ROUTE = "/v1/fine_tuning/adapters"


async def upload(tenant: Tenant, content: bytes | None = None, name: str = "my.zip", **body: Any) -> Any:
    file = (await tenant.send_file(content or zipped(adapter()), name, purpose="user_data")).json()
    return await tenant.http.post(ROUTE, json={"files": [file["id"]], "base_model": "starter", **body})


async def test_an_uploaded_adapter_is_a_tuned_model_of_its_project(tenant: Tenant, other: Tenant) -> None:
    answer = await upload(tenant, suffix="mine")
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["adapter"]["base_model"] == "starter"
    assert made["adapter"]["can_continue"] is True
    assert made["created_by"]
    listed = (await tenant.http.get("/v1/models")).json()["data"]
    assert [each["id"] for each in listed if each["owned_by"] != "fettle"] == [made["id"]]

    got = await tenant.http.get(f"{ROUTE}/{made['id']}")
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == adapter()
    hashes = (await tenant.http.get(f"{ROUTE}/{made['id']}", params={"files": "true"})).json()
    assert {each["name"]: each["bytes"] for each in hashes["files"]} == {n: len(c) for n, c in adapter().items()}

    for call in (other.http.get(f"{ROUTE}/{made['id']}"), other.http.delete(f"/v1/models/{made['id']}")):
        assert (await call).status_code == 404
    theirs = (await tenant.send_file(zipped(adapter()), "a.zip", purpose="user_data")).json()["id"]
    taken = await other.http.post(ROUTE, json={"files": [theirs], "base_model": "starter"})
    assert taken.status_code == 404

    log = (await (await tenant.key("admin")).get("/v1/audit_logs")).json()["data"]
    (entry,) = [each for each in log if each["type"] == "adapters.create"]
    assert entry["adapters.create"]["id"] == made["id"]


async def test_a_job_continues_from_it_with_its_form(tenant: Tenant) -> None:
    name = (await upload(tenant)).json()["id"]
    job = await tenant.job(model=name)
    assert job["started_from"] == name
    assert job["method"]["supervised"]["hyperparameters"]["lora"]["target_modules"] == ["q_proj"]
    deleted = await tenant.http.delete(f"/v1/models/{name}")
    assert (deleted.status_code, deleted.json()["error"]["code"]) == (409, "model_in_use")


async def test_no_job_continues_from_an_adapter_of_some_blocks(tenant: Tenant) -> None:
    name = (await upload(tenant)).json()["id"]
    async with tenant.db.transaction() as session:
        (await session.get_one(TunedModel, name)).lora = None
    refused = await tenant.create(model=name)
    assert refused.status_code == 400
    assert "no job can continue from it" in refused.json()["error"]["message"]


async def test_it_counts_for_the_quotas_and_leaves_nothing_behind(tenant: Tenant) -> None:
    name = (await upload(tenant)).json()["id"]
    for file in (await tenant.http.get("/v1/files")).json()["data"]:
        await tenant.http.delete(f"/v1/files/{file['id']}")
    size = sum(map(len, adapter().values()))
    async with tenant.db.snapshot() as session:
        assert await quotas.stored_bytes(session, tenant.project.id) == size
        assert await quotas.files(session, tenant.project.id) == 1
    usage = (await tenant.http.get(f"/v1/projects/{tenant.project.id}")).json()
    assert usage["stored_bytes"]["models"] == size
    await tenant.quota(files=2)  # the zip's own place, and none for the model
    refused = await upload(tenant)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
    prefix = f"adapters/{tenant.project.id}"
    assert len({key.split("/")[2] for key in await tenant.storage.list(prefix)}) == 1
    assert (await tenant.http.delete(f"/v1/models/{name}")).status_code == 200
    assert await tenant.storage.list(prefix) == []
    async with tenant.db.snapshot() as session:
        assert await quotas.stored_bytes(session, tenant.project.id) < size  # the refused zip


async def test_what_is_refused_says_why_and_keeps_nothing(tenant: Tenant) -> None:
    wide = adapter(base_model_name_or_path="nothing/like-it", use_dora=True)
    refused = await upload(tenant, zipped(wide))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "adapter_rejected")
    assert "'use_dora'" in refused.json()["error"]["message"]
    assert (await upload(tenant, base_model="gpt-5")).json()["error"]["param"] == "base_model"
    dataset = (await tenant.upload())["id"]
    answer = await tenant.http.post(ROUTE, json={"files": [dataset], "base_model": "starter"})
    assert "Upload an adapter with the purpose 'user_data'" in answer.json()["error"]["message"]
    assert await tenant.storage.list(f"adapters/{tenant.project.id}") == []
    assert list(tenant.api.app.state.uploads.iterdir()) == []


async def test_the_scope_to_upload_is_that_to_delete(tenant: Tenant) -> None:
    reader = await tenant.key("models.read", "files.write")
    assert (await reader.post(ROUTE, json={"files": ["file-x"], "base_model": "starter"})).status_code == 403

"""Who used what: jobs, files and models name the key that made them, and usage is summed by it."""

from pathlib import Path

from tests.api.tenants import Tenant, jsonl


async def test_what_a_key_makes_names_it_and_its_use_is_counted(tenant: Tenant, other: Tenant, tmp_path: Path) -> None:
    async with await tenant.key("all") as http:
        key_id = (await http.get("/v1/api_keys")).json()["data"][0]["id"]
        answer = await http.post("/v1/files", files={"file": ("a.jsonl", jsonl(12))}, data={"purpose": "fine-tune"})
        file = answer.json()
        body = {"model": "starter", "training_file": file["id"]}
        job = (await http.post("/v1/fine_tuning/jobs", json=body)).json()
        assert file["created_by"] == job["created_by"] == key_id
        rows = (await http.get("/v1/usage")).json()["data"]
        own = {row["key_id"]: row for row in rows}
        assert own[key_id]["bytes"] == file["bytes"]
        assert {row["project_id"] for row in rows} == {tenant.project.id}
        text = await http.get("/v1/usage", params={"format": "csv"})
    assert text.headers["content-type"].startswith("text/csv")
    assert text.text.splitlines()[0] == "project_id,key_id,gpu_seconds,trained_tokens,bytes"
    theirs = (await other.http.get("/v1/usage")).json()["data"]
    assert key_id not in {row["key_id"] for row in theirs}
    async with await tenant.key("admin") as http:
        everyone = (await http.get("/v1/usage")).json()["data"]
    assert key_id in {row["key_id"] for row in everyone}
    async with await tenant.key("jobs.read") as http:
        assert (await http.get("/v1/usage")).status_code == 403

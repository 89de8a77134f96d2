"""`…/adapter?files=true`: presigned URLs where storage has them."""

import hashlib
import uuid
from pathlib import Path

import boto3
import httpx

from fettle.storage import open_storage
from fettle.tenancy import projects
from tests.api.tenants import ADAPTER, Tenant, running, settings_in

CREDENTIALS = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
JOBS = "/v1/fine_tuning/jobs"


async def test_a_presigned_url_gives_each_file_without_a_key(s3_endpoint: str, tmp_path: Path) -> None:
    bucket = f"b-{uuid.uuid4().hex}"
    boto3.client("s3", endpoint_url=s3_endpoint, **CREDENTIALS).create_bucket(Bucket=bucket)
    s3 = {"storage_url": f"s3://{bucket}/some/prefix", "s3_endpoint": s3_endpoint}
    s3 |= {"s3_access_key_id": "id", "s3_secret_access_key": "secret"}
    async with running(settings_in(tmp_path, **s3)) as api:
        http = await api.client()
        async with api.app.state.db.transaction() as session:
            tenant = Tenant(api, await projects.ensure(session, "default"), http)
        job = await tenant.job()
        (tmp_path / "adapter").mkdir()
        name = await tenant.publish(job["id"], tmp_path / "adapter")
        answer = (await http.get(f"{JOBS}/{job['id']}/adapter?files=true")).json()
        assert (answer["object"], answer["model"]) == ("fine_tuning.job.adapter", name)
        fetched, anyone = {}, httpx.AsyncClient(trust_env=False)
        for file in answer["files"]:
            content = (await anyone.get(file["url"])).raise_for_status().content
            assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
            assert "X-Amz-Signature=" in file["url"] and "X-Amz-Expires=3600" in file["url"]
            fetched[file["name"]] = content
        assert fetched == ADAPTER
        await anyone.aclose()
        await http.aclose()


async def test_a_public_endpoint_is_the_one_that_is_signed(tmp_path: Path) -> None:
    inside = {"storage_url": "s3://bucket", "s3_endpoint": "http://objects:7070"}
    inside |= {
        "s3_public_endpoint": "https://objects.example.org",
        "s3_access_key_id": "i",
        "s3_secret_access_key": "s",
    }
    settings = settings_in(tmp_path, **inside)
    url = await open_storage(settings).presign("jobs/1/adapter/adapter_config.json", 60)
    assert url is not None and url.startswith("https://objects.example.org/bucket/jobs/1/adapter/adapter_config.json?")


async def test_a_folder_signs_nothing_and_says_so(tenant: Tenant, tmp_path: Path) -> None:
    job = await tenant.job()
    await tenant.publish(job["id"], tmp_path)
    answer = (await tenant.http.get(f"{JOBS}/{job['id']}/adapter", params={"files": "true"})).json()
    assert {(file["name"], file["url"], file["expires_at"]) for file in answer["files"]} == {
        (name, None, None) for name in ADAPTER
    }


async def test_another_tenants_adapter_is_not_found(tenant: Tenant, other: Tenant, tmp_path: Path) -> None:
    job = await tenant.job()
    await tenant.publish(job["id"], tmp_path)
    assert (await other.http.get(f"{JOBS}/{job['id']}/adapter?files=true")).status_code == 404

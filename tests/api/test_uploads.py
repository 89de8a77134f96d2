"""Files that come in parts."""

import hashlib
import time
from typing import Any

import httpx
import pytest

from fettle.datasets import files, uploads
from fettle.storage import deletions
from models import ChunkedUpload, File
from tests.api.tenants import Tenant, jsonl, message, refusal

ROWS = jsonl(40)


async def send(tenant: Tenant, upload_id: str, content: bytes) -> httpx.Response:
    return await tenant.http.post(f"/v1/uploads/{upload_id}/parts", files={"data": ("blob", content)})


async def parts(tenant: Tenant, upload_id: str, *contents: bytes) -> list[str]:
    sent = [await send(tenant, upload_id, content) for content in contents]
    assert [answer.status_code for answer in sent] == [200] * len(contents)
    return [answer.json()["id"] for answer in sent]


async def complete(tenant: Tenant, upload_id: str, part_ids: list[str], **more: Any) -> httpx.Response:
    return await tenant.http.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": part_ids, **more})


async def stored(tenant: Tenant) -> list[str]:
    found: list[str] = await tenant.storage.list(f"uploads/{tenant.project.id}")
    return found


async def age(tenant: Tenant, upload_id: str, seconds: float = uploads.LIFETIME + 1) -> None:
    async with tenant.db.transaction() as session:
        (await session.get_one(ChunkedUpload, upload_id)).expires_at -= seconds


async def test_parts_become_one_file_in_the_order_of_the_request(tenant: Tenant) -> None:
    upload = await tenant.upload_in_parts(len(ROWS))
    second, first = await parts(tenant, upload["id"], ROWS[100:], ROWS[:100])
    done = (await complete(tenant, upload["id"], [first, second], md5=hashlib.md5(ROWS).hexdigest())).json()  # noqa: S324
    assert (done["status"], done["file"]["status"], done["file"]["bytes"]) == ("completed", "processed", len(ROWS))
    assert done["file"]["validation"]["rows"] == 40
    assert (await tenant.http.get(f"/v1/files/{done['file']['id']}/content")).content == ROWS
    assert await stored(tenant) == []  # the parts are gone
    assert (await tenant.create(training_file=done["file"]["id"])).status_code == 200


async def test_an_interrupted_client_finds_what_has_arrived(tenant: Tenant) -> None:
    upload = await tenant.upload_in_parts(len(ROWS))
    sent = await parts(tenant, upload["id"], ROWS[:7], ROWS[7:50])
    seen = (await tenant.http.get(f"/v1/uploads/{upload['id']}")).json()
    assert [(part["id"], part["bytes"]) for part in seen["parts"]] == [(sent[0], 7), (sent[1], 43)]
    sent += await parts(tenant, upload["id"], ROWS[50:])
    assert (await complete(tenant, upload["id"], sent)).json()["status"] == "completed"


async def test_completing_again_answers_with_the_same_file(tenant: Tenant) -> None:
    upload = await tenant.upload_in_parts(len(ROWS))
    sent = await parts(tenant, upload["id"], ROWS)
    done = (await complete(tenant, upload["id"], sent)).json()
    assert (await complete(tenant, upload["id"], sent)).json() == done
    assert refusal(await complete(tenant, upload["id"], [*sent, "part_x"])) == (409, "upload_not_pending", None)
    assert len((await tenant.http.get("/v1/files")).json()["data"]) == 1


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"part_ids": ["part_none"]}, "invalid_value", "part_ids[0]"),
        ({"md5": "0" * 32}, "md5_mismatch", "md5"),
        ({"md5": "abc"}, "invalid_value", "md5"),
        ({"part_ids": []}, "invalid_value", "part_ids"),
    ],
)
async def test_what_does_not_fit_is_refused_and_the_upload_goes_on(
    tenant: Tenant, change: dict[str, Any], code: str, param: str
) -> None:
    upload = await tenant.upload_in_parts(len(ROWS))
    sent = await parts(tenant, upload["id"], ROWS)
    body = {"part_ids": sent, **change}
    answer = await tenant.http.post(f"/v1/uploads/{upload['id']}/complete", json=body)
    assert refusal(answer) == (400, code, param)
    assert (await complete(tenant, upload["id"], sent)).json()["status"] == "completed"


async def test_missing_bytes_and_a_part_named_twice_are_refused(tenant: Tenant) -> None:
    upload = await tenant.upload_in_parts(len(ROWS))
    (half,) = await parts(tenant, upload["id"], ROWS[: len(ROWS) // 2])
    answer = await complete(tenant, upload["id"], [half])
    assert refusal(answer) == (400, "bytes_mismatch", "part_ids")
    assert f"{len(ROWS):,}" in message(answer)
    assert refusal(await complete(tenant, upload["id"], [half, half])) == (400, "invalid_value", "part_ids")


async def test_more_bytes_than_were_announced_are_refused_and_not_kept(tenant: Tenant) -> None:
    upload = await tenant.upload_in_parts(10)
    await parts(tenant, upload["id"], b"0123456789", b"0123456789")  # the first may have been sent again
    assert refusal(await send(tenant, upload["id"], b"0")) == (400, "invalid_value", "data")
    assert len(await stored(tenant)) == 2


async def test_a_cancelled_upload_leaves_nothing_and_takes_nothing(tenant: Tenant) -> None:
    upload = await tenant.upload_in_parts(len(ROWS))
    sent = await parts(tenant, upload["id"], ROWS)
    answer = await tenant.http.post(f"/v1/uploads/{upload['id']}/cancel")
    assert answer.json()["status"] == "cancelled"
    assert await stored(tenant) == []
    for refused in (
        await send(tenant, upload["id"], b"x"),
        await complete(tenant, upload["id"], sent),
        await tenant.http.post(f"/v1/uploads/{upload['id']}/cancel"),
    ):
        assert refusal(refused) == (409, "upload_not_pending", None)
    assert await stored(tenant) == []


async def test_an_expired_upload_says_so_and_is_swept(tenant: Tenant) -> None:
    upload = await tenant.upload_in_parts(len(ROWS))
    await parts(tenant, upload["id"], ROWS)
    await age(tenant, upload["id"])
    assert (await tenant.http.get(f"/v1/uploads/{upload['id']}")).json()["status"] == "expired"
    answer = await send(tenant, upload["id"], b"x")
    assert refusal(answer)[:2] == (409, "upload_not_pending")
    assert "expired" in message(answer)
    async with tenant.db.transaction() as session:
        await deletions.plan(session, f"uploads/{tenant.project.id}/{upload['id']}")  # as if the hour had passed
    await deletions.sweep(tenant.db, tenant.storage)
    assert await stored(tenant) == []
    await age(tenant, upload["id"], uploads.KEPT_SECONDS)
    async with tenant.db.transaction() as session:
        await uploads.sweep(session)
    assert (await tenant.http.get(f"/v1/uploads/{upload['id']}")).status_code == 404


async def test_announced_bytes_count_until_the_upload_is_over(tenant: Tenant) -> None:
    await tenant.quota(bytes=len(ROWS) + 5)
    upload = await tenant.upload_in_parts(len(ROWS))
    body = {"bytes": 6, "filename": "b.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    assert refusal(await tenant.http.post("/v1/uploads", json=body))[:2] == (429, "quota_exceeded")
    sent = await parts(tenant, upload["id"], ROWS)
    assert (await complete(tenant, upload["id"], sent)).status_code == 200  # its own bytes do not stand in its way
    assert (await tenant.http.post("/v1/uploads", json=body | {"bytes": 5})).status_code == 200


async def test_an_upload_for_the_service_has_a_limit_of_its_own(tenant: Tenant) -> None:
    body = {"bytes": 5 * 2**30 + 1, "filename": "b.jsonl", "mime_type": "application/jsonl", "purpose": "fine-tune"}
    assert refusal(await tenant.http.post("/v1/uploads", json=body)) == (400, "invalid_value", "bytes")
    assert (await tenant.upload_in_parts(5 * 2**30))["bytes"] == 5 * 2**30


@pytest.mark.parametrize("purpose", ["evals", "batch", "user_data"])
async def test_a_file_of_another_purpose_is_kept_as_it_came_and_trains_no_job(tenant: Tenant, purpose: str) -> None:
    answer = await tenant.send_file(b"\x00 no dataset", "notes.bin", purpose=purpose)
    file = answer.json()
    assert (answer.status_code, file["purpose"], file["status"]) == (200, purpose, "processed")
    refused = await tenant.create(training_file=file["id"])
    assert refusal(refused)[0] == 400
    assert purpose in message(refused)


async def test_a_file_is_gone_when_its_time_is_over(tenant: Tenant) -> None:
    upload = await tenant.upload_in_parts(len(ROWS), expires_after={"anchor": "created_at", "seconds": 3600})
    done = (await complete(tenant, upload["id"], await parts(tenant, upload["id"], ROWS))).json()["file"]
    assert 3599 <= done["expires_at"] - done["created_at"] <= 3660
    async with tenant.db.transaction() as session:
        (await session.get_one(File, done["id"])).expires_at = time.time() - 1
    assert (await tenant.http.get(f"/v1/files/{done['id']}")).status_code == 404
    assert (await tenant.http.get("/v1/files")).json()["data"] == []
    assert refusal(await tenant.create(training_file=done["id"]))[:2] == (400, "file_not_found")
    async with tenant.db.transaction() as session:
        keys = await files.expire(session)
    assert len(keys) == 1
    await deletions.sweep(tenant.db, tenant.storage)
    assert await tenant.storage.list(f"files/{tenant.project.id}") == []


async def test_a_file_that_a_job_needs_outlives_its_time(tenant: Tenant) -> None:
    job = await tenant.job()
    async with tenant.db.transaction() as session:
        (await session.get_one(File, job["training_file"])).expires_at = time.time() - 1
    async with tenant.db.transaction() as session:
        assert await files.expire(session) == []
    assert len(await tenant.storage.list(f"files/{tenant.project.id}")) == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"expires_after[seconds]": "3600"}, "expires_after[anchor]"),
        ({"expires_after[anchor]": "created_at"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "1e9"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "2592001"}, "expires_after[seconds]"),
    ],
)
async def test_an_expiry_that_is_none_is_refused(tenant: Tenant, fields: dict[str, str], param: str) -> None:
    assert refusal(await tenant.send_file(ROWS, **fields)) == (400, "invalid_value", param)

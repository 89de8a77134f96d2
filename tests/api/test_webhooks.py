"""Webhook endpoints by HTTP."""

import pytest

from tests.api.tenants import Tenant, message, refusal

URL = "https://hooks.example.com/fettle"
KINDS = ["fine_tuning.job.succeeded", "batch.completed"]


async def made(tenant: Tenant) -> dict[str, str]:
    body = {"name": "ci", "url": URL, "event_types": KINDS}
    answer = await tenant.http.post("/v1/webhook_endpoints", json=body)
    assert answer.status_code == 200, answer.text
    endpoint: dict[str, str] = answer.json()
    return endpoint


async def test_only_the_creation_and_a_rotation_show_the_secret(tenant: Tenant) -> None:
    endpoint = await made(tenant)
    assert endpoint["signing_secret"].startswith("whsec_")
    path = f"/v1/webhook_endpoints/{endpoint['id']}"
    shown = (await tenant.http.get(path)).json()
    assert "signing_secret" not in shown
    assert endpoint["signing_secret"].endswith(shown["signing_secret_hint"][-4:])
    keep = {"keep_old_secret_active_for_24_hours": True}
    rotated = (await tenant.http.post(f"{path}/rotate_secret", json=keep)).json()
    assert rotated["signing_secret"] != endpoint["signing_secret"]
    assert endpoint["signing_secret"] not in (await tenant.http.get("/v1/webhook_endpoints")).text


async def test_change_list_and_delete(tenant: Tenant) -> None:
    endpoint = await made(tenant)
    path = f"/v1/webhook_endpoints/{endpoint['id']}"
    changed = (await tenant.http.post(path, json={"name": "new", "event_types": ["batch.failed"]})).json()
    assert (changed["name"], changed["url"], changed["event_types"]) == ("new", URL, ["batch.failed"])
    assert [row["id"] for row in (await tenant.http.get("/v1/webhook_endpoints")).json()["data"]] == [endpoint["id"]]
    assert (await tenant.http.get(f"{path}/deliveries")).json()["data"] == []
    assert (await tenant.http.delete(path)).json()["deleted"] is True
    assert (await tenant.http.get(path)).status_code == 404
    assert "batch.expired" in (await tenant.http.get("/v1/webhook_event_types")).json()["data"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"url": "http://hooks.example.com"}, "url"),
        ({"url": "https://127.0.0.1/hook"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://[::ffff:10.0.0.1]/hook"}, "url"),
        ({"event_types": ["video.completed"]}, "event_types[0]"),
        ({"event_types": []}, "event_types"),
        ({"name": ""}, "name"),
    ],
)
async def test_what_cannot_be_is_refused(tenant: Tenant, change: dict[str, object], param: str) -> None:
    body = {"name": "ci", "url": URL, "event_types": KINDS, **change}
    assert refusal(await tenant.http.post("/v1/webhook_endpoints", json=body)) == (400, "invalid_value", param)


async def test_a_test_event_that_cannot_arrive_says_why(tenant: Tenant) -> None:
    body = {"name": "ci", "url": "https://localhost/hook", "event_types": KINDS}
    endpoint = (await tenant.http.post("/v1/webhook_endpoints", json=body)).json()
    answer = await tenant.http.post(
        f"/v1/webhook_endpoints/{endpoint['id']}/test", json={"event_type": "batch.completed"}
    )
    assert refusal(answer) == (400, "webhook_not_delivered", None)
    assert "webhooks may not reach" in message(answer)

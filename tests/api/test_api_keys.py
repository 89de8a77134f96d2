import asyncio
import time
from typing import Any

import httpx
import pytest

from fettle.tenancy import api_keys
from tests.api.tenants import Tenant, message, refusal

KEYS = "/v1/api_keys"
DAY = 24 * 3600


async def make(http: httpx.AsyncClient, **body: Any) -> Any:
    answer = await http.post(KEYS, json={"name": "ci", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def works(tenant: Tenant, secret: str) -> bool:
    async with tenant.api.stranger(secret) as http:
        return (await http.get("/v1/projects")).status_code == 200


class TestCreate:
    async def test_the_secret_is_shown_once(self, tenant: Tenant) -> None:
        made = await make(tenant.http, scopes=["files.read", "chat"])
        secret = made.pop("value")
        assert api_keys.well_formed(secret)
        assert made == {
            "id": made["id"],
            "object": "api_key",
            "name": "ci",
            "owner": None,
            "project_id": tenant.project.id,
            "redacted_value": f"{secret[:8]}…",
            "scopes": ["files.read", "chat"],
            "status": "live",
            "created_at": made["created_at"],
            "expires_at": None,
            "revoked_at": None,
        }
        assert (await tenant.http.get(f"{KEYS}/{made['id']}")).json() == made
        assert secret[8:20] not in (await tenant.http.get(KEYS)).text

    async def test_it_does_what_it_may_and_nothing_else(self, tenant: Tenant) -> None:
        made = await make(tenant.http, scopes=["files.read"])
        async with tenant.api.stranger(made["value"]) as http:
            assert (await http.get("/v1/files")).status_code == 200
            assert refusal(await http.get("/v1/models"))[:2] == (403, "insufficient_scope")

    async def test_unless_said_otherwise_it_gets_its_makers_scopes(self, tenant: Tenant) -> None:
        async with await tenant.key("keys.write", "chat") as http:
            assert (await make(http))["scopes"] == ["keys.write", "chat"]

    async def test_an_operator_is_made_only_when_it_is_said(self, tenant: Tenant) -> None:
        async with await tenant.key("all", "admin") as http:
            assert (await make(http))["scopes"] == ["all"]
            assert (await make(http, scopes=["all", "admin"]))["scopes"] == ["all", "admin"]

    @pytest.mark.parametrize("wanted", [["chat"], ["all"], ["admin"], ["keys.write", "files.write"]])
    async def test_nobody_grants_what_it_does_not_have(self, tenant: Tenant, wanted: list[str]) -> None:
        async with await tenant.key("keys.write", "files.read") as http:
            answer = await http.post(KEYS, json={"name": "ci", "scopes": wanted})
        assert refusal(answer) == (403, "insufficient_scope", None)
        assert f"lacks the scope {wanted[-1]!r}" in message(answer)

    async def test_a_tenant_makes_no_operator(self, tenant: Tenant) -> None:
        answer = await tenant.http.post(KEYS, json={"name": "ci", "scopes": ["all", "admin"]})
        assert refusal(answer)[:2] == (403, "insufficient_scope")

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"scopes": ["files.delete"]}, "scopes"),
            ({"scopes": []}, "scopes"),
            ({"name": ""}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"name": "x" * 257}, "name"),
            ({"expires_in": 0}, "expires_in"),
            ({"expires_in": True}, "expires_in"),
            ({"expires_at": "9999999999"}, "expires_at"),
            ({"expires_in": "30d"}, "expires_in"),
            ({"expires_at": 1000}, "expires_at"),
        ],
    )
    async def test_a_bad_value_is_named(self, tenant: Tenant, body: dict[str, Any], param: str) -> None:
        answer = await tenant.http.post(KEYS, json={"name": "ci", **body})
        assert refusal(answer) == (400, "invalid_value", param)

    async def test_two_ends_are_one_too_many(self, tenant: Tenant) -> None:
        answer = await tenant.http.post(KEYS, json={"name": "ci", "expires_in": 60, "expires_at": time.time() + 60})
        assert refusal(answer) == (400, "invalid_value", "expires_in")
        assert "not both" in message(answer)

    async def test_a_parameter_that_would_be_ignored_is_refused(self, tenant: Tenant) -> None:
        answer = await tenant.http.post(KEYS, json={"name": "ci", "scope": "chat"})
        assert refusal(answer) == (400, "unknown_parameter", "scope")


class TestExpiry:
    async def test_a_key_opens_until_it_expires_and_then_says_so(self, tenant: Tenant) -> None:
        made = await make(tenant.http, expires_in=DAY)
        assert made["expires_at"] == pytest.approx(time.time() + DAY, abs=60)
        expires_at = time.time() + 3
        async with await tenant.key("all", expires_at=expires_at) as http:
            assert (await http.get("/v1/models")).status_code == 200
            await asyncio.sleep(max(0.0, expires_at - time.time()) + 0.05)
            answer = await http.get("/v1/models")
        assert refusal(answer) == (401, "expired_api_key", None)
        assert "fettle keys create" in message(answer)

    async def test_a_key_makes_none_that_outlives_it(self, tenant: Tenant) -> None:
        async with await tenant.key("all", expires_at=time.time() + DAY) as http:
            assert (await make(http))["expires_at"] == pytest.approx(time.time() + DAY, abs=60)
            assert (await make(http, expires_in=60))["expires_at"] == pytest.approx(time.time() + 60, abs=30)
            answer = await http.post(KEYS, json={"name": "ci", "expires_in": 2 * DAY})
        assert refusal(answer) == (400, "invalid_value", "expires_at")
        assert "expires in 1.0 days" in message(answer)


class TestOtherProjects:
    async def test_an_operator_makes_and_lists_another_projects_keys(self, tenant: Tenant, other: Tenant) -> None:
        async with await tenant.key("all", "admin") as http:
            for name in (other.project.id, other.project.name):
                made = await make(http, project=name)
                assert made["project_id"] == other.project.id
                listed = (await http.get(KEYS, params={"project": name})).json()["data"]
                assert made["id"] in [key["id"] for key in listed]
            assert (await http.delete(f"{KEYS}/{made['id']}")).status_code == 200
        assert not await works(other, made["value"])

    async def test_a_tenant_does_not_and_learns_not_whether_it_exists(self, tenant: Tenant, other: Tenant) -> None:
        answers = [
            await tenant.http.post(KEYS, json={"name": "ci", "project": name})
            for name in (other.project.id, other.project.name, "proj_nobody")
        ]
        answers += [await tenant.http.get(KEYS, params={"project": other.project.id})]
        assert {refusal(answer) for answer in answers} == {(403, "insufficient_scope", None)}
        assert len({message(answer) for answer in answers}) == 1

    async def test_its_own_project_may_be_named(self, tenant: Tenant) -> None:
        for name in (tenant.project.id, tenant.project.name):
            assert (await make(tenant.http, project=name))["project_id"] == tenant.project.id

    async def test_an_operator_is_told_of_a_project_that_does_not_exist(self, tenant: Tenant) -> None:
        async with await tenant.key("all", "admin") as http:
            answer = await http.post(KEYS, json={"name": "ci", "project": "nobody"})
        assert refusal(answer) == (404, "not_found", "project")


class TestList:
    async def test_pages_hold_every_key_once_newest_first(self, tenant: Tenant) -> None:
        made = [(await make(tenant.http))["id"] for _ in range(4)]
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = (await tenant.http.get(KEYS, params={"limit": 2, **after})).json()
            seen += [key["id"] for key in page["data"]]
            if not page["has_more"]:
                break
            after = {"after": page["last_id"]}
        assert seen[:4] == made[::-1]
        assert len(seen) == len(set(seen)) == 5


class TestRevoke:
    async def test_it_is_useless_at_once_and_stays_in_the_list(self, tenant: Tenant) -> None:
        made = await make(tenant.http)
        answer = await tenant.http.delete(f"{KEYS}/{made['id']}")
        assert answer.json() == {"id": made["id"], "object": "api_key", "deleted": True}
        assert not await works(tenant, made["value"])
        shown = (await tenant.http.get(f"{KEYS}/{made['id']}")).json()
        assert (shown["status"], shown["revoked_at"]) == ("revoked", pytest.approx(time.time(), abs=60))

    async def test_a_lesser_key_cannot_lock_out_a_greater_one(self, tenant: Tenant) -> None:
        made = await make(tenant.http)
        async with await tenant.key("keys.write", "chat") as http:
            for way in ("DELETE", "POST"):
                answer = await http.request(way, f"{KEYS}/{made['id']}" + ("/rotate" if way == "POST" else ""))
                assert refusal(answer) == (403, "insufficient_scope", None)
        assert await works(tenant, made["value"])


class TestRotate:
    async def test_old_and_new_are_live_through_the_grace(self, tenant: Tenant) -> None:
        old = await make(tenant.http, scopes=["files.read", "chat"])
        new = (await tenant.http.post(f"{KEYS}/{old['id']}/rotate")).json()
        assert (new["id"], new["name"], new["scopes"]) == (f"{old['id']}-2", "ci", ["files.read", "chat"])
        assert new["expires_at"] is None
        assert await works(tenant, old["value"])
        assert await works(tenant, new["value"])
        shown = (await tenant.http.get(f"{KEYS}/{old['id']}")).json()
        assert shown["expires_at"] == pytest.approx(time.time() + DAY, abs=60)

    async def test_without_a_grace_the_old_key_ends_at_once(self, tenant: Tenant) -> None:
        old = await make(tenant.http)
        new = (await tenant.http.post(f"{KEYS}/{old['id']}/rotate", json={"grace_seconds": 0})).json()
        assert [await works(tenant, key["value"]) for key in (old, new)] == [False, True]

    async def test_a_lineage_has_never_more_than_two_live_keys(self, tenant: Tenant) -> None:
        line = [await make(tenant.http)]
        for _ in range(3):
            line.append((await tenant.http.post(f"{KEYS}/{line[-1]['id']}/rotate")).json())
        assert [key["id"].removeprefix(line[0]["id"]) for key in line] == ["", "-2", "-3", "-4"]
        assert [await works(tenant, key["value"]) for key in line] == [False, False, True, True]

    async def test_a_key_that_has_a_successor_is_not_rotated_again(self, tenant: Tenant) -> None:
        old = await make(tenant.http)
        new = (await tenant.http.post(f"{KEYS}/{old['id']}/rotate")).json()
        answer = await tenant.http.post(f"{KEYS}/{old['id']}/rotate")
        assert refusal(answer)[:2] == (409, "key_rotated")
        assert repr(new["id"]) in message(answer)
        assert answer.headers["x-should-retry"] == "false"

    async def test_a_revoked_key_has_no_successor(self, tenant: Tenant) -> None:
        old = await make(tenant.http)
        await tenant.http.delete(f"{KEYS}/{old['id']}")
        assert refusal(await tenant.http.post(f"{KEYS}/{old['id']}/rotate"))[:2] == (409, "key_not_live")

    async def test_a_successor_lasts_as_long_as_its_predecessor_was_meant_to(self, tenant: Tenant) -> None:
        old = await make(tenant.http, expires_in=3600)
        new = (await tenant.http.post(f"{KEYS}/{old['id']}/rotate", json={"grace_seconds": 60})).json()
        assert new["expires_at"] == pytest.approx(time.time() + 3600, abs=60)
        assert (await tenant.http.get(f"{KEYS}/{old['id']}")).json()["expires_at"] == pytest.approx(
            time.time() + 60, abs=30
        )

    async def test_a_grace_never_prolongs_the_old_key(self, tenant: Tenant) -> None:
        old = await make(tenant.http, expires_in=60)
        await tenant.http.post(f"{KEYS}/{old['id']}/rotate")
        assert (await tenant.http.get(f"{KEYS}/{old['id']}")).json()["expires_at"] == old["expires_at"]

    async def test_an_expiring_key_does_not_prolong_itself(self, tenant: Tenant) -> None:
        end = time.time() + 3600
        own = await make(tenant.http, expires_at=end)
        async with tenant.api.stranger(own["value"]) as http:
            new = (await http.post(f"{KEYS}/{own['id']}/rotate")).json()
            assert new["expires_at"] <= end + 1
            eternal = await make(tenant.http)
            assert (await http.post(f"{KEYS}/{eternal['id']}/rotate")).json()["expires_at"] <= end + 1

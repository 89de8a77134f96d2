"""Reward functions of a project: saved, listed beside the built-in ones, and deleted."""

import pytest

from fettle.registry import reward_sources
from tests.api.tenants import Tenant, message, refusal

FUNCTIONS = "/v1/reward_functions"


async def test_each_change_of_the_source_is_a_version_and_the_newest_is_listed(tenant: Tenant) -> None:
    first = await tenant.reward_function(returns="1.0")
    assert (await tenant.reward_function(returns="1.0"))["id"] == first["id"]
    second = await tenant.reward_function(returns="2.0")
    assert (first["version"], second["version"]) == (1, 2)
    listed = (await tenant.http.get(FUNCTIONS)).json()["data"]
    assert [each["id"] for each in listed if "id" in each] == [second["id"]]
    assert "exact_match" in {each["name"] for each in listed}
    kept = (await tenant.http.get(f"{FUNCTIONS}/{second['id']}/versions")).json()["data"]
    assert [each["id"] for each in kept] == [second["id"], first["id"]]
    assert "return 1.0" in (await tenant.http.get(f"{FUNCTIONS}/{first['id']}")).json()["source"]


async def test_only_the_newest_versions_are_kept(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_sources, "VERSIONS_AT_MOST", 2)
    for value in range(4):
        newest = await tenant.reward_function("kept", returns=str(value))
    kept = (await tenant.http.get(f"{FUNCTIONS}/{newest['id']}/versions")).json()["data"]
    assert [each["version"] for each in kept] == [4, 3]


async def test_a_deleted_function_is_gone_with_its_versions_and_its_name_is_free(tenant: Tenant) -> None:
    old = await tenant.reward_function("gone", returns="1")
    new = await tenant.reward_function("gone", returns="2")
    assert (await tenant.http.delete(f"{FUNCTIONS}/{new['id']}")).json()["deleted"] is True
    for each in (old, new):
        assert refusal(await tenant.http.get(f"{FUNCTIONS}/{each['id']}"))[0] == 404
    assert (await tenant.reward_function("gone", returns="2"))["version"] == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "exact_match", "source": "def reward(prompt, completion, example): return 1"}, "built-in"),
        ({"name": "x", "source": "def reward(prompt"}, "line 1 of the source"),
        ({"name": "x", "source": "y = 1"}, "defines neither"),
        ({"name": "a b", "source": "def reward(prompt, completion, example): return 1"}, "name"),
    ],
)
async def test_what_cannot_be_a_reward_function_is_refused(tenant: Tenant, body: dict[str, str], said: str) -> None:
    refused = await tenant.http.post(FUNCTIONS, json=body)
    assert refusal(refused)[0] == 400
    assert said in message(refused)


async def test_a_project_has_so_many_functions_at_most(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_sources, "FUNCTIONS_AT_MOST", 1)
    await tenant.reward_function("first")
    source = "def reward(prompt, completion, example): return 1"
    refused = await tenant.http.post(FUNCTIONS, json={"name": "second", "source": source})
    assert refusal(refused)[:2] == (409, "too_many_reward_functions")
